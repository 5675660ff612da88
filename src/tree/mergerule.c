#include "tree/mergerule.h"

/* Equal, or missing, both. */
static bool same(const struct pfs_entry *a, const struct pfs_entry *b)
{
	return a && b ? pfs_entry_equal(a, b) : a == b;
}

/* As it was, but for the number of its group: that changes with the other names of the file. */
static bool only_renumbered(const struct pfs_entry *base, const struct pfs_entry *e)
{
	struct pfs_entry other;

	if (!base || !e)
		return false;
	other = *e;
	other.link = base->link;
	return pfs_entry_equal(base, &other);
}

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

static int order_times(const struct pfs_attrs *a, const struct pfs_attrs *b)
{
	int c = ORDER(a->mtime_sec, b->mtime_sec);

	return c ? c : ORDER(a->mtime_nsec, b->mtime_nsec);
}

static int order_owners(const struct pfs_attrs *a, const struct pfs_attrs *b)
{
	int c = ORDER(a->uid, b->uid);

	return c ? c : ORDER(a->gid, b->gid);
}

/* Whether `theirs` has the say where both changed an attribute; the same answer from either side. */
static bool theirs_win(const struct pfs_entry *ours, const struct pfs_entry *theirs)
{
	const struct pfs_attrs *o = &ours->attrs, *t = &theirs->attrs;
	int c = order_times(t, o);

	if (c == 0)
		c = ORDER(t->mode, o->mode);
	if (c == 0)
		c = order_owners(t, o);
	if (c == 0)
		c = pfs_id_compare(&theirs->xattrs, &ours->xattrs);
	if (c == 0)
		c = ORDER(theirs->link, ours->link);
	return c > 0;
}

/* The base of a name that had none, or was another type: no attribute is as it was. */
static const struct pfs_entry nothing = {
	.attrs = { .mode = UINT16_MAX,
		   .uid = UINT32_MAX,
		   .gid = UINT32_MAX,
		   .mtime_nsec = UINT32_MAX },
	.xattrs = { { 255 } },
	.link = UINT64_MAX,
};

/* Both sides against the base, 0: as it was. Theirs when they alone changed it, or win. */
static bool take_theirs(int ours, int theirs, bool theirs_win_both)
{
	return ours == 0 || (theirs != 0 && theirs_win_both);
}

static void mix_attrs(const struct pfs_entry *base, const struct pfs_entry *ours,
		      const struct pfs_entry *theirs, struct pfs_entry *out)
{
	const struct pfs_attrs *b = &base->attrs, *o = &ours->attrs, *t = &theirs->attrs;
	bool win = theirs_win(ours, theirs);

	out->attrs = *o;
	out->xattrs = ours->xattrs;
	out->link = ours->link;
	if (take_theirs(ORDER(o->mode, b->mode), ORDER(t->mode, b->mode), win))
		out->attrs.mode = t->mode;
	if (take_theirs(order_owners(o, b), order_owners(t, b), win)) {
		out->attrs.uid = t->uid;
		out->attrs.gid = t->gid;
	}
	if (take_theirs(order_times(o, b), order_times(t, b), win)) {
		out->attrs.mtime_sec = t->mtime_sec;
		out->attrs.mtime_nsec = t->mtime_nsec;
	}
	if (take_theirs(pfs_id_compare(&ours->xattrs, &base->xattrs),
			pfs_id_compare(&theirs->xattrs, &base->xattrs), win))
		out->xattrs = theirs->xattrs;
	if (take_theirs(ORDER(ours->link, base->link), ORDER(theirs->link, base->link), win))
		out->link = theirs->link;
}

/* Of one type on both sides, and changed on both. */
static enum pfs_merge_verdict mix(const struct pfs_entry *base, const struct pfs_entry *ours,
				  const struct pfs_entry *theirs, struct pfs_entry *out,
				  enum pfs_conflict_kind *kind)
{
	const struct pfs_entry *b = base && base->type == ours->type ? base : &nothing;
	const struct pfs_entry *content = ours;

	if (!pfs_entry_same_content(ours, theirs) && ours->type != PFS_ENTRY_DIR) {
		if (b != &nothing && pfs_entry_same_content(b, ours))
			content = theirs;
		else if (b == &nothing || !pfs_entry_same_content(b, theirs)) {
			*kind = PFS_CONFLICT_CONTENT;
			return PFS_VERDICT_CONFLICT;
		}
	}
	*out = *content;
	mix_attrs(b, ours, theirs, out);
	return ours->type == PFS_ENTRY_DIR ? PFS_VERDICT_DESCEND : PFS_VERDICT_MIXED;
}

enum pfs_merge_verdict pfs_mergerule_decide(const struct pfs_entry *base,
					    const struct pfs_entry *ours,
					    const struct pfs_entry *theirs, struct pfs_entry *out,
					    enum pfs_conflict_kind *kind)
{
	if (same(ours, theirs) || same(base, theirs))
		return PFS_VERDICT_OURS;
	if (same(base, ours) || (!theirs && only_renumbered(base, ours)))
		return PFS_VERDICT_THEIRS;
	if (!ours && only_renumbered(base, theirs))
		return PFS_VERDICT_OURS;
	if (ours && theirs && ours->type == theirs->type)
		return mix(base, ours, theirs, out, kind);
	*kind = ours && theirs ? PFS_CONFLICT_TYPE : PFS_CONFLICT_GONE;
	return PFS_VERDICT_CONFLICT;
}
