#include "base/fault.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Atomic unsigned passed;
static _Atomic unsigned target;
static _Atomic int armed_mode;

void pfs_fault_arm(enum pfs_fault_mode mode, unsigned at)
{
	atomic_store(&armed_mode, (int)mode);
	atomic_store(&target, at);
	atomic_store(&passed, 0);
}

unsigned pfs_fault_count(void)
{
	return atomic_load(&passed);
}

#ifndef NDEBUG
static _Atomic int environment_read;

static void read_environment(void)
{
	static const struct {
		const char *key;
		enum pfs_fault_mode mode;
	} modes[] = {
		{ "stop=", PFS_FAULT_STOP },
		{ "fail=", PFS_FAULT_FAIL },
		{ "nospace=", PFS_FAULT_NOSPACE },
	};
	const char *text = getenv("PFS_FAULT");

	if (atomic_exchange(&environment_read, 1) || !text)
		return;
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
		if (strncmp(text, modes[i].key, strlen(modes[i].key)) == 0)
			pfs_fault_arm(modes[i].mode,
				      (unsigned)strtoul(text + strlen(modes[i].key), NULL, 10));
}

int pfs_fault(const char *place, struct pfs_error *err)
{
	if (!atomic_load_explicit(&environment_read, memory_order_relaxed))
		read_environment();
	if (atomic_load_explicit(&armed_mode, memory_order_relaxed) == PFS_FAULT_NONE)
		return 0;
	if (atomic_fetch_add(&passed, 1) + 1 != atomic_load(&target))
		return 0;
	switch (atomic_load(&armed_mode)) {
	case PFS_FAULT_STOP:
		_exit(PFS_FAULT_EXIT);
	case PFS_FAULT_NOSPACE:
		return pfs_fail(err, PFS_E_NOSPACE, "%s: no space left (ordered by a test)", place);
	default:
		return pfs_fail(err, PFS_E_IO, "%s: input/output error (ordered by a test)", place);
	}
}
#endif
