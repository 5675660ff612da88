#include "meta/meta_i.h"
#include "base/io.h"
#include "page/pagedb.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static int read_newest_event(struct pfs_meta *m, struct pfs_error *err)
{
	PFS_AUTO(pfs_query_end) struct pfs_query q = { 0 };
	int rc =
		pfs_query_begin(&q, &m->writer, "SELECT coalesce(max(number), 0) FROM events", err);

	if (rc == 0)
		rc = pfs_query_next(&q, err);
	if (rc == 1)
		m->newest_event = (uint64_t)pfs_query_i64(&q);
	return rc < 0 ? rc : 0;
}

static int open_connections(struct pfs_meta *m, struct pfs_error *err)
{
	int rc = pfs_db_open(m->path, false, &m->writer, err);

	if (rc == 0)
		rc = pfs_migrate(&m->writer, m->path, err);
	if (rc == 0)
		rc = read_newest_event(m, err);
	if (rc < 0 || m->in_memory)
		return rc;
	for (int i = 0; i < PFS_META_READERS && rc == 0; i++)
		rc = pfs_db_open(m->path, true, &m->readers[i], err);
	/* SQLite syncs the folder for its journals, not for the database itself. */
	return rc == 0 ? pfs_io_sync_folder(AT_FDCWD, m->path, err) : rc;
}

int pfs_meta_open(const char *path, struct pfs_meta **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_meta_close) struct pfs_meta *m = calloc(1, sizeof(*m));
	int rc;

	if (!m)
		return pfs_fail_nomem(err, "the metadata");
	m->room = (struct pfs_pageroom)PFS_PAGEROOM_INIT;
	m->fd = -1;
	pfs_lock_init(&m->write_lock, PFS_RANK_META);
	pfs_lock_init(&m->read_lock, PFS_RANK_META_READ);
	pfs_lock_init(&m->event_lock, PFS_RANK_META_READ);
	pfs_cond_init(&m->reader_free);
	pfs_cond_init(&m->event_came);
	m->in_memory = strcmp(path, ":memory:") == 0;
	m->path = strdup(path);
	if (!m->path)
		return pfs_fail_nomem(err, "the metadata");
	rc = open_connections(m, err);
	if (rc < 0)
		return rc;
	pfs_pageroom_open(&m->room, m->writer.sq);
	if (!m->in_memory)
		m->fd = pfs_io_open_file(AT_FDCWD, m->path, O_RDWR, NULL);
	m->writer.in_use = true;
	for (int i = 0; i < PFS_META_READERS; i++)
		m->readers[i].in_use = true;
	*out = m;
	m = NULL;
	return 0;
}

void pfs_meta_close(struct pfs_meta **mp)
{
	struct pfs_meta *m = *mp;

	if (!m)
		return;
	for (int i = 0; i < PFS_META_READERS; i++)
		pfs_db_close(&m->readers[i]);
	pfs_db_close(&m->writer);
	/* Closing has emptied the log, and with it went the room that the next one may need. */
	pfs_pageroom_keep(&m->room);
	pfs_pageroom_close(&m->room);
	pfs_fd_close(&m->fd);
	pthread_cond_destroy(&m->event_came);
	pthread_cond_destroy(&m->reader_free);
	pfs_lock_fini(&m->event_lock);
	pfs_lock_fini(&m->read_lock);
	pfs_lock_fini(&m->write_lock);
	free(m->path);
	free(m);
	*mp = NULL;
}

int64_t pfs_meta_check(struct pfs_meta *m, void (*damage)(void *arg, const char *text), void *arg)
{
	int64_t n;

	pfs_lock(&m->write_lock);
	n = pfs_pagedb_check(m->writer.sq, damage, arg);
	pfs_unlock(&m->write_lock);
	return n;
}

static int free_slot(const struct pfs_meta *m)
{
	for (int i = 0; i < PFS_META_READERS; i++)
		if (!m->taken[i])
			return i;
	return -1;
}

static struct pfs_db *take_pooled(struct pfs_meta *m, int *out_slot)
{
	int slot;

	pfs_lock(&m->read_lock);
	while ((slot = free_slot(m)) < 0)
		pfs_cond_wait(&m->reader_free, &m->read_lock, -1);
	m->taken[slot] = true;
	pfs_unlock(&m->read_lock);
	*out_slot = slot;
	return &m->readers[slot];
}

/*
 * Whoever has a transaction open reads through it, or it would not see its own
 * rows; in memory there is nothing else to read through.
 */
void pfs_reader_take(struct pfs_meta *m, struct pfs_reader *out)
{
	*out = (struct pfs_reader){ .meta = m, .slot = -1 };
	if (pfs_txn_is_mine(m)) {
		out->db = &m->writer;
	} else if (m->in_memory) {
		pfs_lock(&m->write_lock);
		out->locked = true;
		out->db = &m->writer;
	} else {
		out->db = take_pooled(m, &out->slot);
	}
}

void pfs_reader_drop(struct pfs_reader *r)
{
	struct pfs_meta *m = r->meta;

	if (!m)
		return;
	r->meta = NULL;
	if (r->locked)
		pfs_unlock(&m->write_lock);
	if (r->slot < 0)
		return;
	pfs_lock(&m->read_lock);
	assert(m->taken[r->slot]);
	m->taken[r->slot] = false;
	pthread_cond_signal(&m->reader_free);
	pfs_unlock(&m->read_lock);
}

int pfs_read_begin(struct pfs_read *r, struct pfs_meta *m, const char *sql, struct pfs_error *err)
{
	pfs_reader_take(m, &r->reader);
	return pfs_query_begin(&r->q, r->reader.db, sql, err);
}

void pfs_read_end(struct pfs_read *r)
{
	pfs_query_end(&r->q);
	pfs_reader_drop(&r->reader);
}
