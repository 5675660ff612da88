/*
 * Named places where tests make the world fail.
 *
 * In a build with assertions each call counts; a test arms the n-th one to
 * fail (once) or to end the process as a crash would. In a release build
 * (NDEBUG) the calls vanish.
 *
 *	PFS_FAULT="stop=17"   exit at the 17th point, as if the power went
 *	PFS_FAULT="fail=17"   let the 17th point return PFS_E_IO once
 *	PFS_FAULT="nospace=17"   the same with PFS_E_NOSPACE
 *
 * Threads: any; the count is one for the process.
 */
#ifndef PFS_BASE_FAULT_H
#define PFS_BASE_FAULT_H

#include "base/error.h"

#define PFS_FAULT_EXIT 77 /* exit status of a process that was stopped at its point */

enum pfs_fault_mode { PFS_FAULT_NONE, PFS_FAULT_STOP, PFS_FAULT_FAIL, PFS_FAULT_NOSPACE };

#ifdef NDEBUG
/* Not named err: a test may have a variable of that name for its whole file. */
static inline int pfs_fault(const char *place, struct pfs_error *unset)
{
	return 0;
}
#else
/* Zero, or the failure that a test ordered for this point. */
int pfs_fault(const char *place, struct pfs_error *err);
#endif

/* Count anew from zero and let point number `at` (from 1) act. */
void pfs_fault_arm(enum pfs_fault_mode mode, unsigned at);

/* Points passed since the last arm. */
unsigned pfs_fault_count(void);

#endif
