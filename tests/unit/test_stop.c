#include "base/stop.h"

#include <criterion/criterion.h>

static bool after_some_asking(void *arg)
{
	unsigned *left = arg;

	return (*left)-- == 0;
}

Test(stop, work_goes_on_until_it_is_unwanted)
{
	struct pfs_error err = { 0 };
	unsigned left = 3, steps = 0;

	cr_assert_eq(pfs_stop_check(&err), 0, "nobody said anything");
	pfs_stop_set(after_some_asking, &left);
	while (pfs_stop_check(&err) == 0)
		steps++;
	cr_expect_eq(steps, 3);
	cr_expect_eq(err.code, PFS_E_CANCELLED);
	pfs_stop_set(NULL, NULL);
	cr_expect_eq(pfs_stop_check(&err), 0, "the next work on this thread is not meant");
}

static void *ask_elsewhere(void *arg)
{
	*(int *)arg = pfs_stop_check(NULL);
	return NULL;
}

Test(stop, is_about_one_thread)
{
	unsigned none = 0;
	pthread_t other;
	int rc = 1;

	pfs_stop_set(after_some_asking, &none);
	cr_assert_eq(pthread_create(&other, NULL, ask_elsewhere, &rc), 0);
	pthread_join(other, NULL);
	cr_expect_eq(rc, 0);
	pfs_stop_set(NULL, NULL);
}

static void *wait_for_lock(void *arg)
{
	unsigned left = 2;

	pfs_stop_set(after_some_asking, &left);
	return (void *)(intptr_t)pfs_stop_lock(arg, NULL);
}

Test(stop, who_waits_for_a_lock_gives_up)
{
	struct pfs_lock lock;
	pthread_t waiter;
	void *rc;

	pfs_lock_init(&lock, PFS_RANK_BASE);
	pfs_lock(&lock);
	cr_assert_eq(pthread_create(&waiter, NULL, wait_for_lock, &lock), 0);
	pthread_join(waiter, &rc);
	cr_expect_eq((intptr_t)rc, PFS_E_CANCELLED, "and does not have it");
	pfs_unlock(&lock);

	cr_assert_eq(pthread_create(&waiter, NULL, wait_for_lock, &lock), 0);
	pthread_join(waiter, &rc);
	cr_expect_eq((intptr_t)rc, 0, "a free lock is had without asking");
	cr_expect(!pfs_held(&lock), "by another thread");
}
