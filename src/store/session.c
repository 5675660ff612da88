#include "store/session.h"
#include "store/store_i.h"
#include "base/lock.h"

#include <assert.h>
#include <stdlib.h>

#define STOP_MS 100 /* how long it may take until a stop is heard */

/*
 * Two counters are enough: a barrier lets new sessions into the other one and
 * waits for the first to empty. It has to be empty itself before it may be
 * used again, which only a barrier that was stopped leaves undone.
 */
struct pfs_sessions {
	struct pfs_lock lock;   /* PFS_RANK_SESSION; protects all below */
	pthread_cond_t emptied; /* one of the counters */
	unsigned epoch;         /* the counter that new sessions go into */
	uint64_t inside[2];
	bool links_forbidden;
};

int pfs_sessions_new(struct pfs_sessions **out, struct pfs_error *err)
{
	struct pfs_sessions *s = calloc(1, sizeof(*s));

	if (!s || pfs_cond_init(&s->emptied) != 0) {
		free(s);
		return pfs_fail_nomem(err, "the sessions of a store");
	}
	pfs_lock_init(&s->lock, PFS_RANK_SESSION);
	*out = s;
	return 0;
}

void pfs_sessions_free(struct pfs_sessions **s)
{
	if (!*s)
		return;
	assert((*s)->inside[0] == 0 && (*s)->inside[1] == 0);
	pthread_cond_destroy(&(*s)->emptied);
	pfs_lock_fini(&(*s)->lock);
	free(*s);
	*s = NULL;
}

void pfs_session_begin(struct pfs_store *st, struct pfs_session *out)
{
	struct pfs_sessions *s = pfs_store_sessions(st);

	pfs_lock(&s->lock);
	out->epoch = s->epoch;
	s->inside[s->epoch]++;
	pfs_unlock(&s->lock);
}

void pfs_session_end(struct pfs_store *st, struct pfs_session *session)
{
	struct pfs_sessions *s = pfs_store_sessions(st);

	pfs_lock(&s->lock);
	assert(s->inside[session->epoch] > 0);
	if (--s->inside[session->epoch] == 0)
		pthread_cond_broadcast(&s->emptied);
	pfs_unlock(&s->lock);
}

bool pfs_session_may_link(struct pfs_store *st)
{
	struct pfs_sessions *s = pfs_store_sessions(st);
	bool may;

	pfs_lock(&s->lock);
	assert(s->inside[0] + s->inside[1] > 0);
	may = !s->links_forbidden;
	pfs_unlock(&s->lock);
	return may;
}

void pfs_session_forbid_links(struct pfs_store *st, bool forbid)
{
	struct pfs_sessions *s = pfs_store_sessions(st);

	pfs_lock(&s->lock);
	s->links_forbidden = forbid;
	pfs_unlock(&s->lock);
}

static bool wait_empty(struct pfs_sessions *s, unsigned epoch, bool (*stop)(void *arg), void *arg)
{
	assert(pfs_held(&s->lock));
	while (s->inside[epoch]) {
		bool told;

		pfs_cond_wait(&s->emptied, &s->lock, STOP_MS);
		pfs_unlock(&s->lock);
		told = stop && stop(arg);
		pfs_lock(&s->lock);
		if (told && s->inside[epoch])
			return false;
	}
	return true;
}

int pfs_session_barrier(struct pfs_store *st, bool (*stop)(void *arg), void *arg)
{
	struct pfs_sessions *s = pfs_store_sessions(st);
	bool empty;

	pfs_lock(&s->lock);
	empty = wait_empty(s, !s->epoch, stop, arg);
	if (empty) {
		s->epoch = !s->epoch;
		empty = wait_empty(s, !s->epoch, stop, arg);
	}
	pfs_unlock(&s->lock);
	return empty ? 0 : 1;
}
