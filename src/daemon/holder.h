/*
 * Who has the mount while no pfsd does, and how the next one gets it.
 *
 *	reload       pfsd ──exec──▶ pfsd                   it never leaves the process
 *	--hold       pfsd ──FDSTORE──▶ systemd ──▶ pfsd    when a service manager says so
 *	             pfsd ──fork──▶ holder ──▶ pfsd        else, by <data>/hold.sock
 *
 * A holder gives both descriptors to whoever connects, is of the same user, and
 * comes in time; then, or when somebody unmounts, it ends. When nobody comes it
 * takes the mount away.
 *
 * Threads: the first, while there are no others.
 */
#ifndef PFS_DAEMON_HOLDER_H
#define PFS_DAEMON_HOLDER_H

#include "fuse/fuse.h"

/* What was left to this process when it was started; nothing: both are -1. Once, before all else. */
void pfs_holder_inherit(struct pfs_fuse_held *out);
/* Whether it is the same process as the pfsd before it. */
bool pfs_holder_goes_on(void);

/* What a holder has for this data folder, whose lock the caller has. */
void pfs_holder_fetch(const char *data, struct pfs_fuse_held *out);

/* Find somebody who keeps `held` for so long; takes it, also when it fails. */
int pfs_holder_keep(const char *data, unsigned seconds, struct pfs_fuse_held *held,
		    struct pfs_error *err);

/* Where our program is, as it was started; once, before the current directory changes. */
int pfs_holder_find_program(const char *argv0, struct pfs_error *err);

/* Whether what is there now can go on with what we hold: it is asked, by these arguments and one more. */
int pfs_holder_check_program(char **argv, struct pfs_error *err);

/* Be that program. Returns only when that fails, with `held` as it was. */
int pfs_holder_become_program(char **argv, const struct pfs_fuse_held *held, struct pfs_error *err);

#endif
