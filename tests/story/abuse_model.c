#include "abuse_model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_64 "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
#define NAME_63 "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"

const char *const abuse_name[NAMES] = {
	"a",          "b",     "c",
	"d",          "e",     "f",
	"new\nline",  "-dash", "\xff\xfe\x80",
	"with space", "...",   NAME_64 NAME_64 NAME_64 NAME_63,
};

const char *const abuse_kind[KINDS] = {
	"create", "open",    "close", "write",    "resize",  "cut",     "punch",  "zero",
	"store",  "copy",    "fsync", "mkdir",    "rmdir",   "syncdir", "unlink", "rename",
	"link",   "symlink", "chmod", "setxattr", "rmxattr", "utimes",  "look",
};

static void *need(void *p)
{
	if (!p) {
		fprintf(stderr, "out of memory\n");
		exit(2);
	}
	return p;
}

uint64_t abuse_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* One seed in four makes what can be compressed. */
void abuse_fill(uint64_t seed, unsigned char *out, size_t len)
{
	uint64_t state = seed, word = 0;

	for (size_t i = 0; i < len; i++) {
		if (i % 8 == 0 && (seed % 4 || i % 4096 == 0))
			word = abuse_random(&state);
		out[i] = (unsigned char)(word >> i % 8 * 8);
	}
}

/* --- inodes ---------------------------------------------------------------- */

static struct inode *make(struct model *m, enum type type, unsigned mode)
{
	struct inode *i = need(calloc(1, sizeof(*i)));

	if (m->n == m->cap) {
		m->cap = m->cap ? 2 * m->cap : 256;
		m->all = need(realloc(m->all, m->cap * sizeof(struct inode *)));
	}
	i->serial = m->n;
	m->all[m->n++] = i;
	i->type = type;
	i->mode = mode;
	i->version = ++m->versions;
	return i;
}

static void put(struct model *m, struct inode *i)
{
	if (--i->refs > 0)
		return;
	m->all[i->serial] = NULL;
	m->bytes -= i->size;
	free(i->data);
	free(i);
}

static void set_size(struct model *m, struct inode *i, size_t size)
{
	if (size > i->cap) {
		i->cap = size + size / 4;
		i->data = need(realloc(i->data, i->cap));
	}
	if (size > i->size)
		memset(i->data + i->size, 0, size - i->size);
	m->bytes += size;
	m->bytes -= i->size;
	i->size = size;
	i->version = ++m->versions;
	i->mtime_known = false;
}

static void put_in(struct inode *dir, unsigned name, struct inode *i)
{
	dir->child[name] = i;
	dir->n_children++;
	dir->mtime_known = false;
	i->refs++;
	i->names++;
}

static void take_out(struct model *m, struct inode *dir, unsigned name)
{
	struct inode *i = dir->child[name];

	dir->child[name] = NULL;
	dir->n_children--;
	dir->mtime_known = false;
	i->names--;
	put(m, i);
}

/* --- paths ----------------------------------------------------------------- */

/* The directory the last name of a path is in; symbolic links lead nowhere. */
static struct inode *find_parent(struct model *m, const struct path *p, int *error)
{
	struct inode *i = m->root;

	for (unsigned at = 0; at + 1 < p->n; at++) {
		struct inode *next = i->child[p->name[at]];

		*error = !next || next->type == SYMLINK_TYPE ? ENOENT : ENOTDIR;
		if (!next || next->type != DIR_TYPE)
			return NULL;
		i = next;
	}
	*error = 0;
	return i;
}

static unsigned last(const struct path *p)
{
	return p->name[p->n - 1];
}

struct inode *model_find(struct model *m, const struct path *p, int *error)
{
	struct inode *i = find_parent(m, p, error);

	if (i && p->n)
		i = i->child[last(p)];
	if (!i && !*error)
		*error = ENOENT;
	return i;
}

bool model_is_open(const struct model *m, const struct inode *i)
{
	for (unsigned s = 0; s < SLOTS; s++)
		if (m->slot[s].inode == i)
			return true;
	return false;
}

static bool is_below(const struct path *p, const struct path *top)
{
	return p->n > top->n && memcmp(p->name, top->name, top->n) == 0;
}

/* --- steps ----------------------------------------------------------------- */

static void open_slot(struct model *m, const struct step *s, struct inode *i)
{
	m->slot[s->slot] = (struct slot){ i, (enum how)s->how };
	i->refs++;
}

static int add_entry(struct model *m, const struct step *s, enum type type, unsigned mode)
{
	int error;
	struct inode *dir = find_parent(m, &s->a, &error), *i;

	if (!dir)
		return error;
	if (dir->child[last(&s->a)])
		return EEXIST;
	i = make(m, type, mode);
	i->target = s->seed;
	put_in(dir, last(&s->a), i);
	if (s->kind == CREATE) {
		i->large = s->len;
		open_slot(m, s, i);
	}
	return 0;
}

static int step_open(struct model *m, const struct step *s)
{
	int error;
	struct inode *i = model_find(m, &s->a, &error);

	if (!i)
		return error;
	if (i->type != FILE_TYPE)
		return i->type == DIR_TYPE ? EISDIR : ELOOP;
	open_slot(m, s, i);
	if (s->len)
		set_size(m, i, 0);
	return 0;
}

static int step_close(struct model *m, const struct step *s)
{
	struct inode *i = m->slot[s->slot].inode;

	m->slot[s->slot].inode = NULL;
	put(m, i);
	return 0;
}

static void write_bytes(struct model *m, struct inode *i, uint64_t off, uint64_t len, uint64_t seed)
{
	set_size(m, i, off + len > i->size ? off + len : i->size);
	abuse_fill(seed, i->data + off, len);
}

static int step_bytes(struct model *m, const struct step *s)
{
	struct slot *slot = &m->slot[s->slot];
	struct inode *i = slot->inode, *to;
	uint64_t len = s->len;

	switch (s->kind) {
	case WRITE:
		write_bytes(m, i, slot->how == APPEND ? i->size : s->off, len, s->seed);
		return 0;
	case STORE:
		write_bytes(m, i, s->off, len, s->seed);
		return 0;
	case RESIZE:
		set_size(m, i, s->off);
		return 0;
	case ZERO:
		set_size(m, i, s->off + len > i->size ? s->off + len : i->size);
		memset(i->data + s->off, 0, len);
		return 0;
	case PUNCH:
		set_size(m, i, i->size);
		if (s->off < i->size)
			memset(i->data + s->off, 0,
			       s->off + len > i->size ? i->size - s->off : len);
		return 0;
	default: /* COPY */
		to = m->slot[s->other].inode;
		if (s->off >= i->size)
			return 0;
		len = s->off + len > i->size ? i->size - s->off : len;
		set_size(m, to, s->at + len > to->size ? s->at + len : to->size);
		memcpy(to->data + s->at, i->data + s->off, len);
		return 0;
	}
}

static int step_remove(struct model *m, const struct step *s)
{
	int error;
	struct inode *dir = find_parent(m, &s->a, &error),
		     *i = dir ? dir->child[last(&s->a)] : NULL;

	if (!i)
		return dir ? ENOENT : error;
	if (s->kind == UNLINK && i->type == DIR_TYPE)
		return EISDIR;
	if (s->kind == RMDIR && i->type != DIR_TYPE)
		return ENOTDIR;
	if (i->n_children)
		return ENOTEMPTY;
	take_out(m, dir, last(&s->a));
	return 0;
}

static int may_replace(const struct inode *from, const struct inode *to)
{
	if (from->type == DIR_TYPE && to->type != DIR_TYPE)
		return ENOTDIR;
	if (from->type != DIR_TYPE && to->type == DIR_TYPE)
		return EISDIR;
	return to->n_children ? ENOTEMPTY : 0;
}

enum { NOREPLACE = 1, EXCHANGE = 2 };

static int step_rename(struct model *m, const struct step *s)
{
	int error;
	struct inode *from = find_parent(m, &s->a, &error), *to, *x, *y;

	if (!from)
		return error;
	to = find_parent(m, &s->b, &error);
	if (!to)
		return error;
	x = from->child[last(&s->a)];
	y = to->child[last(&s->b)];
	if (!x || (s->how == EXCHANGE && !y))
		return ENOENT;
	if (s->how == NOREPLACE && y)
		return EEXIST;
	if (x->type == DIR_TYPE && is_below(&s->b, &s->a))
		return EINVAL;
	if (y && y->type == DIR_TYPE && is_below(&s->a, &s->b))
		return s->how == EXCHANGE ? EINVAL : ENOTEMPTY;
	if (x == y)
		return 0;
	if (s->how == EXCHANGE) {
		from->child[last(&s->a)] = y;
		to->child[last(&s->b)] = x;
		from->mtime_known = to->mtime_known = false;
		return 0;
	}
	error = y ? may_replace(x, y) : 0;
	if (error)
		return error;
	if (y)
		take_out(m, to, last(&s->b));
	put_in(to, last(&s->b), x);
	take_out(m, from, last(&s->a));
	return 0;
}

static int step_link(struct model *m, const struct step *s)
{
	int error;
	struct inode *i = model_find(m, &s->a, &error), *dir;

	if (!i)
		return error;
	dir = find_parent(m, &s->b, &error);
	if (!dir)
		return error;
	if (dir->child[last(&s->b)])
		return EEXIST;
	if (i->type == DIR_TYPE)
		return EPERM;
	put_in(dir, last(&s->b), i);
	return 0;
}

static int step_attribute(struct model *m, const struct step *s)
{
	int error;
	struct inode *i = model_find(m, &s->a, &error);

	if (!i)
		return error;
	switch (s->kind) {
	case CUT:
		if (i->type != FILE_TYPE)
			return i->type == DIR_TYPE ? EISDIR : ENOENT;
		set_size(m, i, s->off);
		return 0;
	case CHMOD:
		if (i->type == SYMLINK_TYPE)
			return ENOENT;
		i->mode = (unsigned)s->off;
		return 0;
	case SETXATTR:
		if (i->type == SYMLINK_TYPE)
			return EPERM;
		i->attr_seed[s->slot] = s->seed;
		i->attr_len[s->slot] = s->len;
		return 0;
	case RMXATTR:
		if (i->type == SYMLINK_TYPE)
			return EPERM;
		if (!i->attr_seed[s->slot])
			return ENODATA;
		i->attr_seed[s->slot] = 0;
		return 0;
	case UTIMES:
		i->mtime_nsec = (int64_t)(s->seed % 1000000000000000000u);
		i->mtime_known = true;
		return 0;
	default: /* LOOK, SYNCDIR */
		return 0;
	}
}

int model_step(struct model *m, const struct step *s)
{
	switch (s->kind) {
	case CREATE:
		return add_entry(m, s, FILE_TYPE, 0644);
	case MKDIR:
		return add_entry(m, s, DIR_TYPE, 0755);
	case SYMLINK:
		return add_entry(m, s, SYMLINK_TYPE, 0777);
	case OPEN:
		return step_open(m, s);
	case CLOSE:
		return step_close(m, s);
	case FSYNC:
		return 0;
	case WRITE:
	case RESIZE:
	case PUNCH:
	case ZERO:
	case STORE:
	case COPY:
		return step_bytes(m, s);
	case RMDIR:
	case UNLINK:
		return step_remove(m, s);
	case RENAME:
		return step_rename(m, s);
	case LINK:
		return step_link(m, s);
	default:
		return step_attribute(m, s);
	}
}

/* --- models ---------------------------------------------------------------- */

void model_init(struct model *m)
{
	memset(m, 0, sizeof(*m));
	m->root = make(m, DIR_TYPE, 0755);
	m->root->refs = 1;
}

void model_fini(struct model *m)
{
	for (unsigned i = 0; i < m->n; i++) {
		if (m->all[i])
			free(m->all[i]->data);
		free(m->all[i]);
	}
	free(m->all);
	memset(m, 0, sizeof(*m));
}

void model_copy(struct model *out, const struct model *m)
{
	*out = *m;
	out->cap = m->n;
	out->all = need(calloc(m->n, sizeof(struct inode *)));
	for (unsigned i = 0; i < m->n; i++) {
		if (!m->all[i])
			continue;
		out->all[i] = need(malloc(sizeof(struct inode)));
		*out->all[i] = *m->all[i];
		out->all[i]->cap = m->all[i]->size;
		out->all[i]->data = m->all[i]->size ? need(malloc(m->all[i]->size)) : NULL;
		if (m->all[i]->size)
			memcpy(out->all[i]->data, m->all[i]->data, m->all[i]->size);
	}
	for (unsigned i = 0; i < m->n; i++)
		for (unsigned c = 0; out->all[i] && c < NAMES; c++)
			if (m->all[i]->child[c])
				out->all[i]->child[c] = out->all[m->all[i]->child[c]->serial];
	out->root = out->all[m->root->serial];
	for (unsigned s = 0; s < SLOTS; s++)
		if (m->slot[s].inode)
			out->slot[s].inode = out->all[m->slot[s].inode->serial];
}
