#include "workspace_fixture.h"
#include "workspace/journal.h"

#include <sys/stat.h>

#define KEYS 6u

static uint64_t chance(uint64_t *seed, uint64_t below)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (*seed >> 33) % below;
}

/* A row about one of few things, so that many are about the same. */
static struct pfs_journal_row some_row(uint64_t *seed, uint64_t pair[2])
{
	static const char *const names[] = { "a", "b", "ab" };
	static const enum pfs_journal_op ops[] = {
		PFS_JOURNAL_SAVE_NODE,   PFS_JOURNAL_SAVE_NODE, PFS_JOURNAL_DROP_NODE,
		PFS_JOURNAL_SAVE_NAME,   PFS_JOURNAL_SAVE_NAME, PFS_JOURNAL_DROP_NAME,
		PFS_JOURNAL_SAVE_RANGES,
	};
	struct pfs_journal_row r = { .op = ops[chance(seed, sizeof(ops) / sizeof(*ops))] };
	const char *name = names[chance(seed, 3)];

	if (chance(seed, 40) == 0)
		r.op = PFS_JOURNAL_CLEAR;
	else if (chance(seed, 20) == 0)
		r.op = PFS_JOURNAL_BASE;
	else if (chance(seed, 20) == 0)
		r.op = PFS_JOURNAL_SEALED;
	pair[0] = chance(seed, KEYS) * 100;
	pair[1] = pair[0] + 1 + chance(seed, 90);
	if (r.op == PFS_JOURNAL_SAVE_NODE || r.op == PFS_JOURNAL_DROP_NODE)
		r.node = (struct pfs_journal_node){ .ino = 2 + chance(seed, KEYS),
						    .type = PFS_ENTRY_SYMLINK,
						    .size = chance(seed, 1000),
						    .blob = name,
						    .blob_len = strlen(name) };
	else if (r.op == PFS_JOURNAL_SAVE_RANGES)
		r.ranges = (struct pfs_journal_ranges){ 2 + chance(seed, KEYS), pair, 1,
							chance(seed, 2) };
	else if (r.op == PFS_JOURNAL_SAVE_NAME || r.op == PFS_JOURNAL_DROP_NAME)
		r.name = (struct pfs_journal_name){ 1 + chance(seed, 2), name, strlen(name),
						    chance(seed, 1000), chance(seed, 2) };
	else
		r.base.mark.bytes[0] = (unsigned char)chance(seed, 256);
	return r;
}

static void tell_base(void *arg, const struct pfs_root *base, bool links,
		      const struct pfs_commit_id *sealed)
{
	fprintf(arg, "base %d %d %d\n", base->mark.bytes[0], links, sealed->bytes[0]);
}

static int tell_node(void *arg, const struct pfs_journal_node *n, struct pfs_error *e)
{
	(void)e;
	fprintf(arg, "node %llu %llu %.*s\n", (unsigned long long)n->ino,
		(unsigned long long)n->size, (int)n->blob_len, (const char *)n->blob);
	return 0;
}

static int tell_name(void *arg, const struct pfs_journal_name *n, struct pfs_error *e)
{
	(void)e;
	fprintf(arg, "name %llu %.*s %llu %d\n", (unsigned long long)n->parent, (int)n->name_len,
		n->name, (unsigned long long)n->ino, n->in_base);
	return 0;
}

static int tell_range(void *arg, const struct pfs_journal_range *r, struct pfs_error *e)
{
	(void)e;
	fprintf(arg, "range %llu %llu %llu\n", (unsigned long long)r->ino,
		(unsigned long long)r->off, (unsigned long long)r->end);
	return 0;
}

/* Of rows that went not much is left. */
static void expect_shorter(struct pfs_journal_batch *b)
{
	size_t n = b->n, kept = 0;

	cr_expect_eq(pfs_journal_batch_shorten(b), b->n < n);
	for (size_t i = 0; i < b->n; i++) {
		const struct pfs_journal_row *r = &b->rows[i];

		if (r->op == PFS_JOURNAL_SAVE_NAME || r->op == PFS_JOURNAL_DROP_NAME)
			kept += r->name.name_len;
		else if (r->op == PFS_JOURNAL_SAVE_NODE)
			kept += r->node.blob_len;
		else if (r->op == PFS_JOURNAL_SAVE_RANGES)
			kept += r->ranges.n * 16;
	}
	cr_expect_leq(b->blobs.len, 2 * kept + 1);
	cr_expect_not(pfs_journal_batch_shorten(b));
}

/* What a journal says after these batches, and after how many rows; free() it. */
static char *apply_all(const char *folder, uint64_t seed, bool shorten, size_t *rows)
{
	static const struct pfs_journal_reader reader = { tell_base, tell_node, tell_name,
							  tell_range };
	struct pfs_root base = { .attrs.mode = 0755 };
	struct pfs_journal *j = NULL;
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	cr_assert_eq(mkdir(folder, 0700), 0);
	OK(pfs_journal_open(folder, &base, &j, &err));
	*rows = 0;
	for (int batches = 0; batches < 3; batches++) {
		struct pfs_journal_batch b;
		uint64_t pair[2];

		pfs_journal_batch_init(&b);
		for (size_t n = chance(&seed, 120); n > 0; n--) {
			struct pfs_journal_row r = some_row(&seed, pair);

			OK(pfs_journal_batch_add(&b, &r, &err));
		}
		if (shorten)
			expect_shorter(&b);
		*rows += b.n;
		OK(pfs_journal_apply(j, &b, &err));
		pfs_journal_batch_fini(&b);
	}
	OK(pfs_journal_load(j, &reader, f, &err));
	pfs_journal_close(&j);
	fclose(f);
	return text;
}

Test(journal_batch, says_the_same_when_it_is_shortened)
{
	struct fixture f = begin();
	size_t all = 0, less = 0;
	char folder[360];

	for (unsigned i = 0; i < 16; i++) {
		char *whole, *shorter;
		size_t n, m;

		snprintf(folder, sizeof(folder), "%s-whole-%u", f.folder, i);
		whole = apply_all(folder, i, false, &n);
		snprintf(folder, sizeof(folder), "%s-shorter-%u", f.folder, i);
		shorter = apply_all(folder, i, true, &m);
		cr_expect_str_eq(shorter, whole, "seed %u", i);
		all += n;
		less += m;
		free(whole);
		free(shorter);
	}
	cr_expect_lt(less, all / 2, "%zu rows of %zu", less, all);
	end(&f);
}
