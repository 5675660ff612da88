#include "meta/event.h"
#include "meta/meta_i.h"
#include "base/clock.h"

static int decode_event(struct pfs_query *q, void *row, struct pfs_error *err)
{
	struct pfs_event_row *e = row;

	e->number = (uint64_t)pfs_query_i64(q);
	pfs_query_text(q, e->kind, sizeof(e->kind));
	pfs_query_text(q, e->repo, sizeof(e->repo));
	pfs_query_text(q, e->branch, sizeof(e->branch));
	pfs_query_blob(q, e->commit.bytes, sizeof(e->commit.bytes));
	e->time_ns = pfs_query_i64(q);
	return pfs_query_check(q, err);
}

int pfs_meta_read_events(struct pfs_meta *m, uint64_t after, struct pfs_event_row *out, size_t max,
			 size_t *out_n, struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	size_t n = 0;
	int rc = pfs_read_begin(&r, m,
				"SELECT number, kind, repo, branch, commit_id, time_ns FROM events"
				" WHERE number > ? ORDER BY number LIMIT ?",
				err);

	if (rc < 0)
		return rc;
	pfs_query_bind_i64(&r.q, (int64_t)after);
	pfs_query_bind_i64(&r.q, (int64_t)max);
	while (n < max && (rc = pfs_query_one(&r.q, decode_event, &out[n], err)) == 1)
		n++;
	if (rc < 0)
		return rc;
	*out_n = n;
	return 0;
}

uint64_t pfs_meta_newest_event(struct pfs_meta *m)
{
	uint64_t newest;

	pfs_lock(&m->event_lock);
	newest = m->newest_event;
	pfs_unlock(&m->event_lock);
	return newest;
}

int pfs_meta_wait_event(struct pfs_meta *m, uint64_t after, int64_t timeout_ms)
{
	int64_t until = pfs_clock_monotonic_ms() + timeout_ms;
	bool came;

	pfs_lock(&m->event_lock);
	while (m->newest_event <= after && !m->woken) {
		int64_t left = timeout_ms < 0 ? -1 : until - pfs_clock_monotonic_ms();

		if (timeout_ms >= 0 && left <= 0)
			break;
		pfs_cond_wait(&m->event_came, &m->event_lock, left);
	}
	came = m->newest_event > after;
	pfs_unlock(&m->event_lock);
	return came;
}

void pfs_meta_wake(struct pfs_meta *m)
{
	pfs_lock(&m->event_lock);
	m->woken = true;
	pthread_cond_broadcast(&m->event_came);
	pfs_unlock(&m->event_lock);
}

void pfs_meta_resume(struct pfs_meta *m)
{
	pfs_lock(&m->event_lock);
	m->woken = false;
	pfs_unlock(&m->event_lock);
}

void pfs_event_announce(struct pfs_meta *m, uint64_t number)
{
	pfs_lock(&m->event_lock);
	if (number > m->newest_event)
		m->newest_event = number;
	pthread_cond_broadcast(&m->event_came);
	pfs_unlock(&m->event_lock);
}
