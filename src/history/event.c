/* Events, as the callers of <pfs/event.h> see them. */
#include "history/history_i.h"
#include "meta/event.h"

#include <string.h>

#define BATCH 32

static void convert(const struct pfs_event_row *row, struct pfs_event *out)
{
	out->number = row->number;
	memcpy(out->kind, row->kind, sizeof(out->kind));
	memcpy(out->repo, row->repo, sizeof(out->repo));
	memcpy(out->branch, row->branch, sizeof(out->branch));
	out->commit = row->commit;
	out->time_ns = row->time_ns;
}

int pfs_event_read(struct pfs_history *h, uint64_t after, struct pfs_event *out, size_t max,
		   size_t *out_n, struct pfs_error *err)
{
	struct pfs_event_row rows[BATCH];
	size_t got = BATCH, n = 0;

	while (n < max && got == BATCH) {
		size_t want = max - n < BATCH ? max - n : BATCH;
		int rc = pfs_meta_read_events(h->meta, after, rows, want, &got, err);

		if (rc < 0)
			return rc;
		for (size_t i = 0; i < got; i++)
			convert(&rows[i], &out[n++]);
		if (got)
			after = rows[got - 1].number;
	}
	*out_n = n;
	return 0;
}

uint64_t pfs_event_newest(struct pfs_history *h)
{
	return pfs_meta_newest_event(h->meta);
}

int pfs_event_wait(struct pfs_history *h, uint64_t after, int64_t timeout_ms)
{
	return pfs_meta_wait_event(h->meta, after, timeout_ms);
}

void pfs_event_wake(struct pfs_history *h)
{
	pfs_meta_wake(h->meta);
}

void pfs_event_resume(struct pfs_history *h)
{
	pfs_meta_resume(h->meta);
}
