#include "store/session.h"
#include "../scratch.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static struct pfs_store *st;

static void open_store(void)
{
	cr_assert_eq(pfs_store_open_mem(&st, NULL), 0);
}

static void close_store(void)
{
	pfs_store_close(&st);
}

TestSuite(session, .init = open_store, .fini = close_store);

struct waiter {
	pthread_t thread;
	_Atomic bool through;
	int result;
};

static void *wait_for_all(void *arg)
{
	struct waiter *w = arg;

	w->result = pfs_session_barrier(st, NULL, NULL);
	w->through = true;
	return NULL;
}

static bool at_once(void *arg)
{
	++*(unsigned *)arg;
	return true;
}

Test(session, a_barrier_without_sessions_is_no_wait)
{
	unsigned asked = 0;

	for (int i = 0; i < 3; i++)
		cr_expect_eq(pfs_session_barrier(st, at_once, &asked), 0);
	cr_expect_eq(asked, 0);
}

Test(session, links_are_for_when_nothing_is_condemned)
{
	struct pfs_session s;

	pfs_session_begin(st, &s);
	cr_expect(pfs_session_may_link(st));
	pfs_session_forbid_links(st, true);
	cr_expect_not(pfs_session_may_link(st));
	pfs_session_forbid_links(st, false);
	cr_expect(pfs_session_may_link(st));
	pfs_session_end(st, &s);
}

Test(session, a_barrier_waits_for_those_before_and_not_for_those_after)
{
	struct pfs_session before, nested, after;
	struct waiter w = { .result = -1 };

	pfs_session_begin(st, &before);
	pfs_session_begin(st, &nested);
	pthread_create(&w.thread, NULL, wait_for_all, &w);
	usleep(50000);
	pfs_session_begin(st, &after);
	pfs_session_end(st, &nested);
	usleep(50000);
	cr_expect(!w.through, "one of them is still inside");
	pfs_session_end(st, &before);
	pthread_join(w.thread, NULL);
	cr_expect_eq(w.result, 0);
	pfs_session_end(st, &after);
}

Test(session, a_barrier_that_is_told_to_stop_does_and_the_next_still_waits_for_all)
{
	struct pfs_session first, second;
	struct waiter w = { .result = -1 };
	unsigned asked = 0;

	pfs_session_begin(st, &first);
	cr_expect_eq(pfs_session_barrier(st, at_once, &asked), 1);
	cr_expect_eq(asked, 1);
	pfs_session_begin(st, &second); /* the other counter, which the stopped one had opened */
	pthread_create(&w.thread, NULL, wait_for_all, &w);
	usleep(50000);
	cr_expect(!w.through);
	pfs_session_end(st, &second);
	usleep(50000);
	cr_expect(!w.through, "the one that the stopped barrier did not wait for is inside");
	pfs_session_end(st, &first);
	pthread_join(w.thread, NULL);
	cr_expect_eq(w.result, 0);
}
