/*
 * Large committed files that are written into: what is known of them must be
 * exact, whatever happens in between.
 */
#include "workspace_fixture.h"
#include "workspace/workspace_i.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <sqlite3.h>
#include <sys/stat.h>

#define MIB       (1u << 20)
#define BIG       (PFS_PATCHED_SIZE_MIN + 300000u)
#define LARGEST   (3u * MIB)
#define OPENS_MAX 3

static uint64_t seed;

static unsigned roll(unsigned below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)((seed * 0x2545f4914f6cdd1d >> 33) % below);
}

/* A committed file "f" of these bytes. */
static struct pfs_node *commit_big(struct fixture *f, size_t size, unsigned char *out)
{
	struct pfs_node *n = make(f, f->root, PFS_ENTRY_FILE, "f");
	struct pfs_open *o;

	scratch_fill(out, size, 7);
	OK(pfs_workspace_open_file(f->ws, n, true, false, &o, &err));
	OK(pfs_workspace_write(o, 0, out, size, &err));
	pfs_workspace_close_file(&o);
	commit(f);
	OK(pfs_workspace_tick(f->ws, 0, &err));
	cr_assert_eq(spool_files(f), 0);
	return n;
}

static void add_spool_bytes(void *arg, int dir, const char *name)
{
	struct stat st;

	cr_assert_eq(fstatat(dir, name, &st, 0), 0);
	*(uint64_t *)arg += (uint64_t)st.st_blocks * 512;
}

/* Bytes the spool takes on disk. */
static uint64_t spool_bytes(struct fixture *f)
{
	uint64_t n = 0;

	each_spool_file(f, add_spool_bytes, &n);
	return n;
}

static void read_all(struct pfs_open *o, const unsigned char *want, size_t size)
{
	static unsigned char got[LARGEST + 1];
	size_t len;

	OK(pfs_workspace_read(o, 0, got, sizeof(got), &len, &err));
	cr_assert_eq(len, size, "%zu bytes, want %zu", len, size);
	for (size_t i = 0; i < size; i++)
		if (got[i] != want[i])
			cr_assert_fail("byte %zu is %02x, want %02x", i, got[i], want[i]);
}

static void check_file(struct fixture *f, struct pfs_node *n, const unsigned char *want,
		       size_t size)
{
	struct pfs_open *o;

	OK(pfs_workspace_open_file(f->ws, n, false, false, &o, &err));
	read_all(o, want, size);
	pfs_workspace_close_file(&o);
	cr_assert_eq(attr_of(f, n).size_bytes, size);
}

static void check_commit(struct fixture *f, const struct pfs_sealed *s, const unsigned char *want,
			 size_t size)
{
	PFS_AUTO(pfs_content_reader_close) struct pfs_content_reader *r = NULL;
	static unsigned char got[LARGEST + 1];
	struct pfs_found found = { 0 };
	struct pfs_content fresh;
	size_t len;

	OK(pfs_tree_find(f->st, &s->root.dir, NAME("f"), &found, &err));
	OK(pfs_content_reader_open(f->st, &found.e.content, &r, &err));
	OK(pfs_content_read(r, 0, got, sizeof(got), &len, &err));
	cr_assert_eq(len, size, "%zu bytes are committed, want %zu", len, size);
	cr_assert_eq(size ? memcmp(got, want, size) : 0, 0, "other bytes are committed");
	OK(pfs_content_from_bytes(f->st, want, size, &fresh, &err));
	cr_assert_eq(fresh.form, found.e.content.form);
	if (fresh.form != PFS_CONTENT_INLINE)
		cr_assert(pfs_id_equal(&fresh.id, &found.e.content.id),
			  "not what chunking it anew gives");
	pfs_found_fini(&found);
}

Test(workspace_patched, opening_for_writing_copies_nothing_and_a_byte_costs_a_page)
{
	static unsigned char bytes[BIG];
	struct fixture f = begin();
	struct pfs_node *n = commit_big(&f, BIG, bytes);
	struct pfs_sealed s;
	struct pfs_open *o;

	OK(pfs_workspace_open_file(f.ws, n, true, false, &o, &err));
	cr_expect_eq(spool_files(&f), 0);
	cr_expect_not(pfs_workspace_dirty(f.ws), "who only opens changes nothing");
	cr_expect_eq(pfs_workspace_local_fd(o), -1);
	bytes[777777] ^= 1;
	OK(pfs_workspace_write(o, 777777, bytes + 777777, 1, &err));
	cr_expect(pfs_workspace_dirty(f.ws));
	cr_expect_leq(spool_bytes(&f), 16384);
	cr_expect_eq(pfs_workspace_local_fd(o), -1);
	pfs_workspace_close_file(&o);
	check_file(&f, n, bytes, BIG);
	s = commit(&f);
	check_commit(&f, &s, bytes, BIG);
	cr_expect_not(pfs_workspace_dirty(f.ws));
	OK(pfs_workspace_tick(f.ws, 0, &err));
	cr_expect_eq(spool_files(&f), 0, "the commit gives the spool back");
	check_file(&f, n, bytes, BIG);
	pfs_node_unref(&n);
	end(&f);
}

Test(workspace_patched, a_writer_goes_on_through_commits)
{
	static unsigned char bytes[BIG + 100];
	struct fixture f = begin();
	struct pfs_node *n = commit_big(&f, BIG, bytes);
	struct pfs_open *w, *r;
	struct pfs_sealed s;

	OK(pfs_workspace_open_file(f.ws, n, true, false, &w, &err));
	OK(pfs_workspace_open_file(f.ws, n, false, false, &r, &err));
	OK(pfs_workspace_write(w, 1000, memset(bytes + 1000, 'a', 10), 10, &err));
	s = commit(&f);
	check_commit(&f, &s, bytes, BIG);
	cr_expect_not(pfs_workspace_dirty(f.ws), "an open file that nobody wrote is clean");
	read_all(r, bytes, BIG);
	s = seal(&f);
	OK(pfs_workspace_write(w, 5000, memset(bytes + 5000, 'b', 10), 10, &err));
	OK(pfs_workspace_settle(f.ws, &s, &err));
	cr_expect(pfs_workspace_dirty(f.ws));
	read_all(r, bytes, BIG);
	OK(pfs_workspace_write(w, 500000, memset(bytes + 500000, 'c', 10), 10, &err));
	s = seal(&f);
	check_commit(&f, &s, bytes, BIG);
	OK(pfs_workspace_append(w, memset(bytes + BIG, 'd', 100), 100, &err));
	OK(pfs_workspace_settle(f.ws, &s, &err));
	cr_expect(pfs_workspace_dirty(f.ws));
	read_all(w, bytes, BIG + 100);
	pfs_workspace_close_file(&w);
	s = commit(&f);
	check_commit(&f, &s, bytes, BIG + 100);
	cr_expect_not(pfs_workspace_dirty(f.ws));
	read_all(r, bytes, BIG + 100);
	pfs_workspace_close_file(&r);
	pfs_node_unref(&n);
	end(&f);
}

Test(workspace_patched, what_was_cut_off_is_zeros_when_the_file_grows_again)
{
	static unsigned char bytes[LARGEST];
	struct fixture f = begin();
	struct pfs_node *n = commit_big(&f, BIG, bytes);
	struct pfs_node_attr set = { .size_bytes = PFS_PATCHED_SIZE_MIN + 10 };
	struct pfs_sealed s;
	struct pfs_open *o;

	OK(pfs_workspace_open_file(f.ws, n, true, false, &o, &err));
	OK(pfs_workspace_write(o, BIG - 5000, "written and cut", 15, &err));
	OK(pfs_workspace_setattr(f.ws, n, PFS_NODE_SIZE, &set, &err));
	memset(bytes + set.size_bytes, 0, LARGEST - set.size_bytes);
	read_all(o, bytes, set.size_bytes);
	set.size_bytes = BIG + 1000;
	OK(pfs_workspace_setattr(f.ws, n, PFS_NODE_SIZE, &set, &err));
	read_all(o, bytes, BIG + 1000);
	memcpy(bytes + BIG - 100, "new", 3);
	OK(pfs_workspace_write(o, BIG - 100, "new", 3, &err));
	OK(pfs_workspace_sync_file(o, &err));
	pfs_workspace_close_file(&o);
	pfs_node_unref(&n);
	close_ws(&f);
	open_ws(&f);
	n = find(&f, f.root, "f");
	check_file(&f, n, bytes, BIG + 1000);
	s = commit(&f);
	check_commit(&f, &s, bytes, BIG + 1000);
	pfs_node_unref(&n);
	end(&f);
}

Test(workspace_patched, cut_to_little_it_is_a_new_file)
{
	static unsigned char bytes[BIG];
	struct fixture f = begin();
	struct pfs_node *n = commit_big(&f, BIG, bytes);
	struct pfs_node_attr set = { .size_bytes = 1000 };
	struct pfs_open *o;

	OK(pfs_workspace_setattr(f.ws, n, PFS_NODE_SIZE, &set, &err));
	OK(pfs_workspace_open_file(f.ws, n, true, false, &o, &err));
	cr_expect_geq(pfs_workspace_local_fd(o), 0);
	read_all(o, bytes, 1000);
	pfs_workspace_close_file(&o);
	pfs_node_unref(&n);
	end(&f);
}

Test(workspace_patched, cut_to_nothing_while_it_is_open_it_starts_anew)
{
	static unsigned char bytes[BIG];
	struct fixture f = begin();
	struct pfs_node *n = commit_big(&f, BIG, bytes);
	struct pfs_node_attr set = { .size_bytes = 0 };
	struct pfs_open *w, *r;
	struct pfs_sealed s;

	OK(pfs_workspace_open_file(f.ws, n, true, false, &w, &err));
	OK(pfs_workspace_open_file(f.ws, n, false, false, &r, &err));
	OK(pfs_workspace_write(w, 10, "x", 1, &err));
	OK(pfs_workspace_setattr(f.ws, n, PFS_NODE_SIZE, &set, &err));
	read_all(r, bytes, 0);
	OK(pfs_workspace_write(w, 0, "anew", 4, &err));
	cr_expect_str_eq(read_open(r), "anew");
	s = commit(&f);
	check_commit(&f, &s, (const unsigned char *)"anew", 4);
	OK(pfs_workspace_write(w, 4, " again", 6, &err));
	cr_expect_str_eq(read_open(r), "anew again");
	pfs_workspace_close_file(&w);
	pfs_workspace_close_file(&r);
	OK(pfs_workspace_tick(f.ws, 0, &err));
	cr_expect_eq(spool_files(&f), 1);
	pfs_node_unref(&n);
	end(&f);
}

Test(workspace_patched, holes_are_found_where_they_were_punched)
{
	static unsigned char bytes[BIG];
	struct fixture f = begin();
	struct pfs_node *n = commit_big(&f, BIG, bytes);
	struct pfs_open *o;
	uint64_t at;

	OK(pfs_workspace_open_file(f.ws, n, true, false, &o, &err));
	OK(pfs_workspace_allocate(o, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 65536, 131072,
				  &err));
	memset(bytes + 65536, 0, 131072);
	read_all(o, bytes, BIG);
	OK(pfs_workspace_seek(o, 0, SEEK_HOLE, &at, &err));
	cr_expect_eq(at, 65536);
	OK(pfs_workspace_seek(o, 70000, SEEK_DATA, &at, &err));
	cr_expect_eq(at, 65536 + 131072);
	OK(pfs_workspace_seek(o, 300000, SEEK_HOLE, &at, &err));
	cr_expect_eq(at, BIG);
	OK(pfs_workspace_allocate(o, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BIG - 10, 1000,
				  &err));
	memset(bytes + BIG - 10, 0, 10);
	read_all(o, bytes, BIG);
	FAILS(PFS_E_UNSUPPORTED,
	      pfs_workspace_allocate(o, FALLOC_FL_COLLAPSE_RANGE, 0, 65536, &err));
	OK(pfs_workspace_allocate(o, FALLOC_FL_KEEP_SIZE, 0, 2 * BIG, &err));
	cr_expect_eq(attr_of(&f, n).size_bytes, BIG);
	pfs_workspace_close_file(&o);
	pfs_node_unref(&n);
	end(&f);
}

/* From here on, and to the end of this process, the kernel does not tell where data is: so does a bad disk. */
static void fail_to_seek(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	cr_assert(filter);
	OK(seccomp_rule_add(filter, SCMP_ACT_ERRNO(EIO), SCMP_SYS(lseek), 1,
			    SCMP_A2(SCMP_CMP_EQ, SEEK_DATA)));
	OK(seccomp_load(filter));
	seccomp_release(filter);
}

Test(workspace_patched, what_cannot_be_sought_is_no_hole)
{
	static unsigned char bytes[LARGEST];
	struct fixture f = begin();
	struct pfs_node *n = commit_big(&f, LARGEST, bytes);
	struct pfs_sealed s;
	struct pfs_open *o;
	uint64_t at;

	for (size_t i = 0; i < 2 * MIB; i++)
		bytes[i] ^= 1;
	OK(pfs_workspace_open_file(f.ws, n, true, false, &o, &err));
	OK(pfs_workspace_write(o, 0, bytes, 2 * MIB, &err));
	fail_to_seek();
	FAILS(PFS_E_IO, pfs_workspace_seek(o, 0, SEEK_DATA, &at, &err));
	pfs_workspace_close_file(&o);
	s = commit(&f);
	check_commit(&f, &s, bytes, LARGEST);
	check_file(&f, n, bytes, LARGEST);
	pfs_node_unref(&n);
	end(&f);
}

static long count_rows(struct fixture *f, const char *sql)
{
	char path[360];
	sqlite3_stmt *s;
	sqlite3 *db;
	long n;

	snprintf(path, sizeof(path), "%s/journal.db", f->folder);
	cr_assert_eq(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "pfs"), SQLITE_OK);
	cr_assert_eq(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK, "%s",
		     sqlite3_errmsg(db));
	cr_assert_eq(sqlite3_step(s), SQLITE_ROW);
	n = (long)sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	sqlite3_close(db);
	return n;
}

Test(workspace_patched, however_many_places_are_written_few_ranges_are_kept)
{
	static unsigned char bytes[BIG];
	struct fixture f = begin();
	struct pfs_node *n = commit_big(&f, BIG, bytes);
	struct pfs_sealed s;
	struct pfs_open *o;

	OK(pfs_workspace_open_file(f.ws, n, true, false, &o, &err));
	for (unsigned i = 0; i < BIG; i += 40 + i % 17) {
		bytes[i] ^= 1;
		OK(pfs_workspace_write(o, i, bytes + i, 1, &err));
	}
	read_all(o, bytes, BIG);
	OK(pfs_workspace_sync_file(o, &err));
	pfs_workspace_close_file(&o);
	pfs_node_unref(&n);
	close_ws(&f);
	cr_expect_gt(count_rows(&f, "SELECT count(*) FROM range"), 1000);
	cr_expect_leq(count_rows(&f, "SELECT count(*) FROM range"), PFS_PATCHED_RANGES_MAX);
	open_ws(&f);
	n = find(&f, f.root, "f");
	check_file(&f, n, bytes, BIG);
	s = commit(&f);
	check_commit(&f, &s, bytes, BIG);
	pfs_node_unref(&n);
	close_ws(&f);
	cr_expect_eq(count_rows(&f, "SELECT count(*) FROM range"), 0);
	open_ws(&f);
	end(&f);
}

static void damage_journal(struct fixture *f, const char *sql)
{
	char path[360];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/journal.db", f->folder);
	cr_assert_eq(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "pfs"), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(db));
	sqlite3_close(db);
}

Test(workspace_patched, refuses_each_damaged_row_of_its_journal)
{
	static const char *const rows[] = {
		"UPDATE node SET keep = 100000000 WHERE state = 2",
		"UPDATE node SET keep = size + 1 WHERE state = 2",
		"UPDATE node SET size = -1 WHERE state = 2",
		"UPDATE node SET size = 10 WHERE state = 2",
		"UPDATE node SET content = x'00' WHERE state = 2",
		"UPDATE node SET serial = serial + 1 WHERE state = 2",
		"UPDATE node SET state = 1 WHERE state = 2", /* with ranges */
		"UPDATE range SET end = off WHERE off = 1000",
		"UPDATE range SET off = -1 WHERE off = 1000",
		"UPDATE range SET end = 1000000 WHERE off = 500000", /* past the spool file */
		"UPDATE range SET end = 500000 WHERE off = 1000",    /* touching the next */
		"UPDATE range SET ino = ino + 1 WHERE off = 1000",
		"INSERT INTO range SELECT ino, off + 1, end + 1 FROM range",
	};
	static unsigned char bytes[BIG];
	struct pfs_root base = { .attrs.mode = 0755 };

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct fixture f = begin();
		struct pfs_node *n = commit_big(&f, BIG, bytes);

		write_at(&f, n, 1000, "first");
		write_at(&f, n, 500000, "second");
		pfs_node_unref(&n);
		close_ws(&f);
		damage_journal(&f, rows[i]);
		FAILS(PFS_E_CORRUPT, pfs_workspace_open(f.folder, f.st, &base, &f.ws, &err));
		end(&f);
	}
}

/* --- a model -------------------------------------------------------------- */

/*
 * One file, several opens, every operation; commits, with and without their
 * second half; restarts; and crashes, seen as in test_workspace_crash.c.
 */
struct model {
	struct fixture f;
	struct pfs_node *n;
	struct pfs_open *opens[OPENS_MAX];
	bool writes[OPENS_MAX];
	unsigned char *now, *synced; /* bytes, zeros behind the size */
	bool *changed;               /* since the sync */
	size_t size, synced_size;
	bool exact; /* nothing was flushed since the sync */
	uint64_t first_seed;
	unsigned step;
};

static void note_change(struct model *m, size_t off, size_t end)
{
	if (off < end)
		memset(m->changed + off, 1, end - off);
}

static void set_size(struct model *m, size_t size)
{
	if (size < m->size)
		memset(m->now + size, 0, m->size - size);
	note_change(m, size < m->size ? size : m->size, size < m->size ? m->size : size);
	m->size = size;
}

static void note_synced(struct model *m)
{
	memcpy(m->synced, m->now, LARGEST);
	memset(m->changed, 0, LARGEST);
	m->synced_size = m->size;
	m->exact = true;
}

static void check_now(struct model *m, struct pfs_open *o)
{
	static unsigned char got[LARGEST + 1];
	size_t len, off = roll(3) ? 0 : roll(LARGEST);
	size_t want = off < m->size ? m->size - off : 0;

	OK(pfs_workspace_read(o, off, got, sizeof(got), &len, &err));
	cr_assert_eq(len, want, "seed %llu step %u: %zu bytes, want %zu",
		     (unsigned long long)m->first_seed, m->step, len, want);
	for (size_t i = 0; i < len; i++)
		if (got[i] != m->now[off + i])
			cr_assert_fail("seed %llu step %u: byte %zu of %zu is %02x, want %02x",
				       (unsigned long long)m->first_seed, m->step, off + i, m->size,
				       got[i], m->now[off + i]);
}

static struct pfs_open *any_open(struct model *m, bool write)
{
	unsigned i = roll(OPENS_MAX);

	if (m->opens[i] && write && !m->writes[i])
		pfs_workspace_close_file(&m->opens[i]);
	if (m->opens[i])
		return m->opens[i];
	m->writes[i] = write || roll(2);
	OK(pfs_workspace_open_file(m->f.ws, m->n, m->writes[i], false, &m->opens[i], &err));
	return m->opens[i];
}

static void do_write(struct model *m)
{
	static unsigned char data[200000];
	struct pfs_open *o = any_open(m, true);
	size_t len = 1 + roll(roll(8) ? 20000 : sizeof(data));
	size_t off = roll(5) ? roll((unsigned)m->size + 1) : m->size + roll(100000);

	if (roll(3) == 0)
		off &= ~(size_t)4095;
	if (off + len > LARGEST)
		return;
	scratch_fill(data, len, m->first_seed * 1000 + m->step);
	if (roll(4) == 0) {
		off = m->size;
		if (off + len > LARGEST)
			return;
		OK(pfs_workspace_append(o, data, len, &err));
	} else {
		OK(pfs_workspace_write(o, off, data, len, &err));
	}
	if (off + len > m->size)
		set_size(m, off + len);
	memcpy(m->now + off, data, len);
	note_change(m, off, off + len);
}

static void do_resize(struct model *m)
{
	struct pfs_node_attr set = { .size_bytes = roll(LARGEST) };

	if (roll(2) && m->size > 10000)
		set.size_bytes = m->size - roll(10000);
	if (roll(12) == 0)
		set.size_bytes = 0;
	OK(pfs_workspace_setattr(m->f.ws, m->n, PFS_NODE_SIZE, &set, &err));
	set_size(m, set.size_bytes);
}

static void do_punch(struct model *m)
{
	static const int modes[] = { FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_ZERO_RANGE, 0 };
	int mode = modes[roll(3)];
	size_t off = roll((unsigned)m->size + 5000), len = 1 + roll(300000), end = off + len;
	struct pfs_open *o = any_open(m, true);

	if (end > LARGEST)
		return;
	OK(pfs_workspace_allocate(o, mode, off, len, &err));
	if (!(mode & FALLOC_FL_KEEP_SIZE) && end > m->size)
		set_size(m, end);
	if (end > m->size)
		end = m->size;
	if (mode && off < end) {
		memset(m->now + off, 0, end - off);
		note_change(m, off, end);
	}
}

static void do_sync(struct model *m)
{
	if (roll(2))
		OK(pfs_workspace_sync(m->f.ws, &err));
	else
		OK(pfs_workspace_sync_file(any_open(m, roll(2)), &err));
	note_synced(m);
}

static void do_something(struct model *m)
{
	m->step++;
	switch (roll(12)) {
	case 0:
		do_resize(m);
		break;
	case 1:
		do_punch(m);
		break;
	case 2:
		do_sync(m);
		break;
	case 3:
		pfs_workspace_close_file(&m->opens[roll(OPENS_MAX)]);
		break;
	case 4:
	case 5:
		check_now(m, any_open(m, false));
		break;
	default:
		do_write(m);
	}
}

static void do_commit(struct model *m)
{
	unsigned char *then = malloc(LARGEST);
	size_t size = m->size;
	struct pfs_sealed s = seal(&m->f);

	memcpy(then, m->now, LARGEST);
	for (unsigned n = roll(2) ? 0 : roll(6); n > 0; n--)
		do_something(m);
	check_commit(&m->f, &s, then, size);
	if (roll(4))
		OK(pfs_workspace_settle(m->f.ws, &s, &err));
	m->exact = false;
	check_now(m, any_open(m, false));
	free(then);
}

static void do_restart(struct model *m)
{
	for (unsigned i = 0; i < OPENS_MAX; i++)
		pfs_workspace_close_file(&m->opens[i]);
	pfs_node_unref(&m->n);
	close_ws(&m->f);
	open_ws(&m->f);
	m->n = find(&m->f, m->f.root, "f");
	note_synced(m);
	check_now(m, any_open(m, false));
}

/* What was not written since the last sync is as it was then, and so is the size. */
static void do_crash(struct model *m)
{
	static unsigned char got[LARGEST + 1];
	struct pfs_root base = { .attrs.mode = 0755 };
	char command[1000], copy[320];
	struct pfs_workspace *ws;
	struct pfs_node *root, *n;
	struct pfs_open *o;
	size_t len;

	if (!m->exact)
		return;
	snprintf(copy, sizeof(copy), "%s-copy", m->f.folder);
	snprintf(command, sizeof(command), "rm -rf '%s' && cp -a --sparse=always '%s' '%s'", copy,
		 m->f.folder, copy);
	cr_assert_eq(system(command), 0);
	OK(pfs_workspace_open(copy, m->f.st, &base, &ws, &err));
	root = pfs_workspace_root(ws);
	OK(pfs_workspace_lookup(ws, root, NAME("f"), &n, &err));
	OK(pfs_workspace_open_file(ws, n, false, false, &o, &err));
	OK(pfs_workspace_read(o, 0, got, sizeof(got), &len, &err));
	for (size_t i = 0; i < m->synced_size; i++)
		if (!m->changed[i] && (i >= len || got[i] != m->synced[i]))
			cr_assert_fail("seed %llu step %u: after a crash byte %zu of %zu is %02x, "
				       "want %02x",
				       (unsigned long long)m->first_seed, m->step, i,
				       m->synced_size, got[i], m->synced[i]);
	pfs_workspace_close_file(&o);
	pfs_node_unref(&n);
	pfs_node_unref(&root);
	pfs_workspace_close(&ws);
}

static void run_seed(uint64_t first, unsigned steps)
{
	struct model m = { .f = begin(), .first_seed = first };

	seed = first * 0x9e3779b97f4a7c15ULL + 1;
	m.now = calloc(1, LARGEST);
	m.synced = calloc(1, LARGEST);
	m.changed = calloc(LARGEST, sizeof(bool));
	m.n = commit_big(&m.f, BIG, m.now);
	m.size = BIG;
	note_synced(&m);
	while (m.step < steps) {
		unsigned what = roll(40);

		if (what == 0)
			do_restart(&m);
		else if (what < 5)
			do_commit(&m);
		else if (what < 7)
			do_crash(&m);
		else
			do_something(&m);
	}
	do_restart(&m);
	do_commit(&m);
	for (unsigned i = 0; i < OPENS_MAX; i++)
		pfs_workspace_close_file(&m.opens[i]);
	pfs_node_unref(&m.n);
	end(&m.f);
	free(m.now);
	free(m.synced);
	free(m.changed);
}

Test(workspace_patched, has_the_bytes_of_an_array_whatever_happens_in_between)
{
	const char *one = getenv("PFS_TEST_SEED");
	const char *many = getenv("PFS_TEST_SEEDS");
	uint64_t n = many ? strtoull(many, NULL, 10) : 25;

	if (one)
		run_seed(strtoull(one, NULL, 10), 300);
	for (uint64_t i = 0; !one && i < n; i++)
		run_seed(i, 150);
}
