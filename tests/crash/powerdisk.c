/*
 * Disks from a recorded story. What is surely on the disk is kept up to date as
 * the moments go by; what is not yet waits in lists, of which each disk gets a
 * choice.
 */
#include "powercut.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512u
#define BLOCK  4096u

/* The bytes of a file. */
struct image {
	unsigned char *data;
	size_t size, cap;
};

/* Numbers of events, in order. */
struct events {
	unsigned *number;
	size_t n, cap;
};

struct file {
	struct image sure;
	struct events pending;
};

struct name {
	uint32_t dir, object;
	bool is_folder;
	const char *text;
};

struct names {
	struct name *list;
	size_t n, cap;
};

struct powerdisk {
	unsigned moment; /* events before it are dealt with */
	struct file *files;
	size_t n_files;
	struct names sure;
	struct events pending; /* of names */
	uint64_t state;        /* of chance */
	const char *path;
	bool *made; /* which objects the present disk has, and under which name */
	char **made_as;
};

static void fail(const char *what)
{
	perror(what);
	_exit(99);
}

static void *grown(void *p, size_t size)
{
	p = realloc(p, size);
	if (!p)
		fail("powerdisk: memory");
	return p;
}

/* Chance, repeatable: xorshift. */
static uint64_t roll(struct powerdisk *d)
{
	d->state ^= d->state << 13;
	d->state ^= d->state >> 7;
	d->state ^= d->state << 17;
	return d->state * 0x2545f4914f6cdd1dull;
}

static bool happens(struct powerdisk *d, unsigned percent)
{
	return (roll(d) >> 33) % 100 < percent;
}

static void push(struct events *e, unsigned number)
{
	if (e->n == e->cap) {
		e->cap = e->cap ? e->cap * 2 : 16;
		e->number = grown(e->number, e->cap * sizeof(*e->number));
	}
	e->number[e->n++] = number;
}

static void resize(struct image *i, size_t size)
{
	if (size > i->cap) {
		i->cap = size + size / 2;
		i->data = grown(i->data, i->cap);
	}
	if (size > i->size)
		memset(i->data + i->size, 0, size - i->size);
	i->size = size;
}

static void apply_write(struct image *i, uint64_t off, const unsigned char *data, size_t len)
{
	if (off + len > i->size)
		resize(i, off + len);
	memcpy(i->data + off, data, len);
}

static void apply(struct image *i, const struct powercut_event *e)
{
	uint64_t end = e->off + e->len;

	if (e->op == POWERCUT_WRITE) {
		apply_write(i, e->off, e->data, e->len);
	} else if (e->op == POWERCUT_TRUNCATE) {
		resize(i, e->off);
	} else {
		if (end > i->size && !e->keep)
			resize(i, end);
		if (!e->is_folder && e->off < i->size)
			memset(i->data + e->off, 0, (end < i->size ? end : i->size) - e->off);
	}
}

/* Some sectors of a write are there, and the size may have been the first to arrive. */
static void apply_torn(struct powerdisk *d, struct image *i, const struct powercut_event *e)
{
	uint64_t end = e->off + e->len;

	for (uint64_t at = e->off; at < end;) {
		uint64_t next = (at / SECTOR + 1) * SECTOR;

		if (next > end)
			next = end;
		if (happens(d, 50))
			apply_write(i, at, e->data + (at - e->off), next - at);
		at = next;
	}
	if (end > i->size && happens(d, 50))
		resize(i, end);
}

static struct file *file_of(struct powerdisk *d, uint32_t object)
{
	if (object >= d->n_files) {
		size_t n = object + 64;

		d->files = grown(d->files, n * sizeof(*d->files));
		d->made = grown(d->made, n * sizeof(*d->made));
		d->made_as = grown(d->made_as, n * sizeof(*d->made_as));
		memset(d->files + d->n_files, 0, (n - d->n_files) * sizeof(*d->files));
		memset(d->made_as + d->n_files, 0, (n - d->n_files) * sizeof(*d->made_as));
		d->n_files = n;
	}
	return &d->files[object];
}

static void remove_name(struct names *list, uint32_t dir, const char *text)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->list[i].dir == dir && strcmp(list->list[i].text, text) == 0) {
			list->list[i] = list->list[--list->n];
			return;
		}
}

static void put_name(struct names *list, uint32_t dir, const char *text, uint32_t object,
		     bool is_folder)
{
	remove_name(list, dir, text);
	if (list->n == list->cap) {
		list->cap = list->cap ? list->cap * 2 : 64;
		list->list = grown(list->list, list->cap * sizeof(*list->list));
	}
	list->list[list->n++] = (struct name){ dir, object, is_folder, text };
}

static void apply_name(struct names *list, const struct powercut_event *e)
{
	if (e->op == POWERCUT_NAME) {
		put_name(list, e->dir, e->name, e->object, e->is_folder);
	} else {
		remove_name(list, e->dir, e->name);
		if (e->op == POWERCUT_RENAME)
			put_name(list, e->to_dir, e->to_name, e->object, e->is_folder);
	}
}

static bool same_name(uint32_t dir, const char *name, const struct powercut_event *e)
{
	return (e->dir == dir && strcmp(e->name, name) == 0) ||
	       (e->op == POWERCUT_RENAME && e->to_dir == dir && strcmp(e->to_name, name) == 0);
}

/* Of a name, what happened last counts: what `e` did to it cannot come back when `later` is on the
 * disk. */
static bool is_settled_by(const struct powercut_event *e, const struct powercut_event *later)
{
	return same_name(e->dir, e->name, later) ||
	       (e->op == POWERCUT_RENAME && same_name(e->to_dir, e->to_name, later));
}

/* The names of folder `dir` are on the disk, and with each all that happened to it before. */
static void flush_names(struct powerdisk *d, uint32_t dir, bool all)
{
	struct events *p = &d->pending;
	bool *sure = grown(NULL, p->n + 1);
	size_t kept = 0;

	for (size_t i = p->n; i-- > 0;) {
		const struct powercut_event *e = powercut_event(p->number[i]);

		sure[i] = all || e->dir == dir || (e->op == POWERCUT_RENAME && e->to_dir == dir);
		for (size_t later = i + 1; later < p->n && !sure[i]; later++)
			sure[i] = sure[later] && is_settled_by(e, powercut_event(p->number[later]));
	}
	for (size_t i = 0; i < p->n; i++) {
		if (sure[i])
			apply_name(&d->sure, powercut_event(p->number[i]));
		else
			p->number[kept++] = p->number[i];
	}
	p->n = kept;
	free(sure);
}

static void flush_bytes(struct file *f)
{
	for (size_t i = 0; i < f->pending.n; i++)
		apply(&f->sure, powercut_event(f->pending.number[i]));
	f->pending.n = 0;
}

/* What was dirty is clean now, whether it has arrived or not. */
static void lose_bytes(struct powerdisk *d, struct file *f)
{
	for (size_t i = 0; i < f->pending.n; i++) {
		const struct powercut_event *e = powercut_event(f->pending.number[i]);

		if (e->op != POWERCUT_WRITE || happens(d, 30))
			apply(&f->sure, e);
		else if (happens(d, 30))
			apply_torn(d, &f->sure, e);
	}
	f->pending.n = 0;
}

static void pass(struct powerdisk *d, unsigned number)
{
	const struct powercut_event *e = powercut_event(number);

	switch (e->op) {
	case POWERCUT_WRITE:
	case POWERCUT_TRUNCATE:
	case POWERCUT_ZERO:
		push(&file_of(d, e->object)->pending, number);
		break;
	case POWERCUT_FLUSH:
		flush_bytes(file_of(d, e->object));
		flush_names(d, e->object, false);
		break;
	case POWERCUT_FLUSH_FAILED:
		lose_bytes(d, file_of(d, e->object));
		break;
	case POWERCUT_FLUSH_ALL:
		for (size_t i = 0; i < d->n_files; i++)
			flush_bytes(&d->files[i]);
		flush_names(d, 0, true);
		break;
	default:
		file_of(d, e->object);
		push(&d->pending, number);
	}
}

/* How the present disk was unlucky: how many of a hundred writes and names are there. */
struct luck {
	unsigned writes, torn, names;
};

static struct luck choose(struct powerdisk *d)
{
	static const unsigned shares[] = { 0, 5, 30, 70, 95, 100 };
	static const unsigned torn[] = { 0, 10, 50 };

	return (struct luck){ .writes = shares[roll(d) % 6],
			      .torn = torn[roll(d) % 3],
			      .names = shares[roll(d) % 6] };
}

static void write_image(const struct image *i, const char *path)
{
	static const unsigned char zeros[BLOCK];
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, (off_t)i->size) < 0)
		fail(path);
	for (size_t at = 0; at < i->size; at += BLOCK) {
		size_t len = i->size - at < BLOCK ? i->size - at : BLOCK;

		if (memcmp(i->data + at, zeros, len) != 0 &&
		    pwrite(fd, i->data + at, len, (off_t)at) != (ssize_t)len)
			fail(path);
	}
	close(fd);
}

/* A file with several names has the same bytes under all of them. */
static void make_file(struct powerdisk *d, uint32_t object, struct luck luck, const char *path)
{
	struct file *f = file_of(d, object);
	struct image now = { 0 };

	if (d->made[object]) {
		if (link(d->made_as[object], path) < 0)
			fail(path);
		return;
	}
	d->made[object] = true;
	free(d->made_as[object]);
	d->made_as[object] = strdup(path);
	resize(&now, f->sure.size);
	if (now.size)
		memcpy(now.data, f->sure.data, now.size);
	for (size_t i = 0; i < f->pending.n; i++) {
		const struct powercut_event *e = powercut_event(f->pending.number[i]);

		if (e->op == POWERCUT_WRITE && happens(d, luck.torn))
			apply_torn(d, &now, e);
		else if (happens(d, luck.writes))
			apply(&now, e);
	}
	write_image(&now, path);
	free(now.data);
}

static void make_folder(struct powerdisk *d, const struct names *names, uint32_t dir,
			struct luck luck, const char *path)
{
	for (size_t i = 0; i < names->n; i++) {
		const struct name *n = &names->list[i];
		char child[1024];

		if (n->dir != dir)
			continue;
		if (snprintf(child, sizeof(child), "%s/%s", path, n->text) >= (int)sizeof(child))
			fail("powerdisk: a path");
		if (!n->is_folder) {
			make_file(d, n->object, luck, child);
		} else if (!d->made[n->object]) {
			d->made[n->object] = true;
			if (mkdir(child, 0700) < 0)
				fail(child);
			make_folder(d, names, n->object, luck, child);
		}
	}
}

struct powerdisk *powerdisk_new(void)
{
	struct powerdisk *d = calloc(1, sizeof(*d));

	if (!d)
		fail("powerdisk: memory");
	file_of(d, 0);
	return d;
}

void powerdisk_free(struct powerdisk **dp)
{
	struct powerdisk *d = *dp;

	if (!d)
		return;
	for (size_t i = 0; i < d->n_files; i++) {
		free(d->files[i].sure.data);
		free(d->files[i].pending.number);
		free(d->made_as[i]);
	}
	free(d->files);
	free(d->made);
	free(d->made_as);
	free(d->sure.list);
	free(d->pending.number);
	free(d);
	*dp = NULL;
}

void powerdisk_make(struct powerdisk *d, unsigned moment, uint64_t seed, const char *path)
{
	struct names names = { 0 };
	struct luck luck;

	d->state = seed * 0x9e3779b97f4a7c15u + 1;
	roll(d);
	while (d->moment < moment)
		pass(d, d->moment++);
	luck = choose(d);
	for (size_t i = 0; i < d->sure.n; i++)
		put_name(&names, d->sure.list[i].dir, d->sure.list[i].text, d->sure.list[i].object,
			 d->sure.list[i].is_folder);
	for (size_t i = 0; i < d->pending.n; i++)
		if (happens(d, luck.names))
			apply_name(&names, powercut_event(d->pending.number[i]));
	memset(d->made, 0, d->n_files * sizeof(*d->made));
	if (pfs_io_remove_all(AT_FDCWD, path, NULL) < 0 || mkdir(path, 0700) < 0)
		fail(path);
	make_folder(d, &names, 0, luck, path);
	free(names.list);
}
