#include "daemon/facts.h"
#include "daemon/route.h"
#include "base/clock.h"

#include <stdlib.h>

#define EVENTS_MAX       1000u
#define WAIT_MAX_SECONDS 3600u
#define SLICE_MS         1000

/* Until an event after `after` exists or the time is over; neither is a failure. */
static void wait_for_event(struct pfs_request *rq, uint64_t after, uint64_t seconds)
{
	int64_t until = pfs_clock_monotonic_ms() + (int64_t)seconds * 1000;
	int64_t left;

	while ((left = until - pfs_clock_monotonic_ms()) > 0 && !pfs_request_gone(rq))
		if (pfs_event_wait(rq->daemon->history, after, left < SLICE_MS ? left : SLICE_MS))
			return;
}

int route_event_get(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	struct pfs_event *list = NULL;
	uint64_t after, seconds, max;
	size_t n = 0;
	int rc;

	rc = pfs_request_number(rq, "after", 0, UINT64_MAX >> 1, &after, err);
	if (rc == 0)
		rc = pfs_request_number(rq, "wait", 0, WAIT_MAX_SECONDS, &seconds, err);
	if (rc == 0)
		rc = pfs_request_number(rq, "n", EVENTS_MAX, EVENTS_MAX, &max, err);
	if (rc < 0)
		return rc;
	wait_for_event(rq, after, seconds);
	list = calloc(max ? max : 1, sizeof(*list));
	if (!list)
		return pfs_fail_nomem(err, "a list of events");
	rc = pfs_event_read(rq->daemon->history, after, list, max, &n, err);
	rp->content_type = "application/x-ndjson";
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = pfs_facts_event(&list[i], &rp->body, err);
	free(list);
	return rc;
}
