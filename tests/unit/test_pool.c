#include "base/pool.h"
#include "base/lock.h"

#include <criterion/criterion.h>
#include <unistd.h>

struct work {
	unsigned left;   /* atomic */
	unsigned done;   /* atomic */
	unsigned inside; /* atomic: how many are in step() now */
	unsigned most;   /* atomic */
	unsigned nap_us;
};

static bool take_one(void *arg)
{
	struct work *w = arg;
	unsigned left = __atomic_load_n(&w->left, __ATOMIC_RELAXED), now, most;

	do {
		if (left == 0)
			return false;
	} while (!__atomic_compare_exchange_n(&w->left, &left, left - 1, true, __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
	now = __atomic_add_fetch(&w->inside, 1, __ATOMIC_ACQ_REL);
	most = __atomic_load_n(&w->most, __ATOMIC_RELAXED);
	while (now > most && !__atomic_compare_exchange_n(&w->most, &most, now, true,
							  __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		;
	if (w->nap_us)
		usleep(w->nap_us);
	__atomic_sub_fetch(&w->inside, 1, __ATOMIC_ACQ_REL);
	__atomic_add_fetch(&w->done, 1, __ATOMIC_ACQ_REL);
	return true;
}

static struct pfs_pool *must_make(unsigned threads)
{
	struct pfs_pool *pool = NULL;
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_pool_new(threads, &pool, &err), 0, "%s", err.text);
	return pool;
}

Test(pool, does_all_of_a_job_and_is_out_of_it_after_finish)
{
	static const unsigned threads[] = { 0, 1, 3, 15, 100 };

	for (size_t i = 0; i < sizeof(threads) / sizeof(*threads); i++) {
		struct pfs_pool *pool = must_make(threads[i]);

		for (unsigned round = 0; round < 50; round++) {
			struct work w = { .left = 200 };
			struct pfs_pool_job job = { .step = take_one, .arg = &w };

			cr_expect_eq(pfs_pool_start(pool, &job), threads[i] > 0);
			while (take_one(&w))
				;
			pfs_pool_finish(pool, &job);
			cr_assert_eq(w.done, 200, "%u threads: %u done", threads[i], w.done);
		}
		pfs_pool_free(&pool);
		cr_expect_null(pool);
		pfs_pool_free(&pool);
	}
}

Test(pool, works_on_one_job_with_all_its_threads)
{
	struct pfs_pool *pool = must_make(4);
	struct work w = { .left = 40, .nap_us = 2000 };
	struct pfs_pool_job job = { .step = take_one, .arg = &w };

	pfs_pool_start(pool, &job);
	while (__atomic_load_n(&w.done, __ATOMIC_ACQUIRE) < 40)
		usleep(1000);
	pfs_pool_finish(pool, &job);
	cr_expect_eq(w.most, 4, "%u at once", w.most);
	pfs_pool_free(&pool);
}

Test(pool, misses_no_start_of_a_job_that_is_just_ending)
{
	struct pfs_pool *pool = must_make(1);
	struct work w = { 0 };
	struct pfs_pool_job job = { .step = take_one, .arg = &w };

	for (unsigned i = 1; i <= 5000; i++) {
		__atomic_add_fetch(&w.left, 1, __ATOMIC_ACQ_REL);
		cr_assert(pfs_pool_start(pool, &job));
		if (i % 3)
			continue;
		for (unsigned tries = 0; __atomic_load_n(&w.done, __ATOMIC_ACQUIRE) < i; tries++) {
			cr_assert_lt(tries, 5000, "start %u was missed", i);
			usleep(tries ? 1000 : 0);
		}
	}
	pfs_pool_finish(pool, &job);
	cr_expect_eq(w.most, 1, "one thread was in it %u times at once", w.most);
	pfs_pool_free(&pool);
}

Test(pool, knows_how_many_processors_there_are)
{
	unsigned n = pfs_pool_processors();

	cr_expect(n >= 1 && n <= 100000, "%u", n);
	pfs_pool_set_processors(7);
	cr_expect_eq(pfs_pool_processors(), 7);
	pfs_pool_set_processors(0);
	cr_expect_eq(pfs_pool_processors(), n);
}
