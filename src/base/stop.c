#include "base/stop.h"

#define LOOK_MS 100

static _Thread_local bool (*unwanted)(void *arg);
static _Thread_local void *unwanted_arg;

void pfs_stop_set(bool (*ask)(void *arg), void *arg)
{
	unwanted = ask;
	unwanted_arg = arg;
}

int pfs_stop_check(struct pfs_error *err)
{
	if (unwanted && unwanted(unwanted_arg))
		return pfs_fail(err, PFS_E_CANCELLED, "cancelled: nobody waits for it any more");
	return 0;
}

int pfs_stop_lock(struct pfs_lock *l, struct pfs_error *err)
{
	int rc;

	if (!unwanted) {
		pfs_lock(l);
		return 0;
	}
	while (!pfs_lock_for(l, LOOK_MS)) {
		rc = pfs_stop_check(err);
		if (rc < 0)
			return rc;
	}
	return 0;
}
