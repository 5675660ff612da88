#include "runtime/imageuser.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILE_MAX  (1u << 20) /* an /etc/passwd of more than this is an attack */
#define LAYER_MAX 4096

/* Open a file as the container would see it in this layer; negative errno. */
static int open_in_layer(const char *layer, const char *name, struct stat *st)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	PFS_AUTO(pfs_fd_close) int dir = open(layer, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd;

	if (dir < 0)
		return -errno;
	fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
	if (fd < 0)
		return -errno;
	if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode)) {
		close(fd);
		return -ENOENT;
	}
	return fd;
}

static int load_from_layer(const char *layer, const char *name, struct pfs_buf *out,
			   struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = -1;
	struct stat st;
	size_t got;
	int rc;

	fd = open_in_layer(layer, name, &st);
	if (fd < 0)
		return PFS_E_NOTFOUND;
	if (st.st_size > (off_t)FILE_MAX)
		return pfs_fail(err, PFS_E_LIMIT, "%s of the image has %lld bytes", name,
				(long long)st.st_size);
	rc = pfs_buf_reserve(out, (size_t)st.st_size, err);
	if (rc == 0)
		rc = pfs_io_pread(fd, out->data, (size_t)st.st_size, 0, &got, err);
	if (rc < 0)
		return rc;
	out->len = got;
	out->data[got] = 0;
	return 0;
}

/* From the topmost layer that has it; empty when none does. */
static int load(const char *layers, const char *name, struct pfs_buf *out, struct pfs_error *err)
{
	int rc = PFS_E_NOTFOUND;

	while (*layers && rc == PFS_E_NOTFOUND) {
		size_t n = strcspn(layers, ":");
		char layer[LAYER_MAX];

		if (n < sizeof(layer)) {
			memcpy(layer, layers, n);
			layer[n] = 0;
			rc = load_from_layer(layer, name, out, err);
		}
		layers += n + (layers[n] == ':');
	}
	return rc == PFS_E_NOTFOUND ? 0 : rc;
}

static bool parse_id(const char *text, size_t len, uint32_t *out)
{
	uint64_t v = 0;

	if (len == 0 || len > 10)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(text[i] - '0');
	}
	if (v >= UINT32_MAX)
		return false;
	*out = (uint32_t)v;
	return true;
}

/* Field `i` of a line of fields with ':' between them. */
static bool get_field(const char *line, size_t len, unsigned i, const char **out, size_t *out_len)
{
	while (i--) {
		const char *colon = memchr(line, ':', len);

		if (!colon)
			return false;
		len -= (size_t)(colon + 1 - line);
		line = colon + 1;
	}
	*out = line;
	*out_len = memchr(line, ':', len) ? (size_t)((const char *)memchr(line, ':', len) - line)
					  : len;
	return true;
}

static bool field_is(const char *line, size_t len, unsigned i, const char *text, size_t text_len)
{
	const char *field;
	size_t n;

	return get_field(line, len, i, &field, &n) && n == text_len && memcmp(field, text, n) == 0;
}

/* Step through lines: false at the end. */
static bool next_line(const char **rest, const char **out, size_t *out_len)
{
	if (!**rest)
		return false;
	*out = *rest;
	*out_len = strcspn(*rest, "\n");
	*rest += *out_len + ((*rest)[*out_len] == '\n');
	return true;
}

/* The line where field `i` is `text`. */
static bool find_line(const struct pfs_buf *file, unsigned i, const char *text, size_t text_len,
		      const char **out, size_t *out_len)
{
	const char *rest = pfs_buf_str(file);

	while (next_line(&rest, out, out_len))
		if (field_is(*out, *out_len, i, text, text_len))
			return true;
	return false;
}

static int find_user(const char *name, size_t len, const struct pfs_buf *passwd,
		     struct pfs_ocispec_user *u, struct pfs_error *err)
{
	bool numeric = parse_id(name, len, &u->uid);
	const char *line, *field;
	size_t line_len, n;

	if (!find_line(passwd, numeric ? 2 : 0, name, len, &line, &line_len)) {
		if (numeric)
			return 0; /* need not be known */
		return pfs_fail(err, PFS_E_INVALID,
				"the image wants to run as user \"%.*s\", whom its "
				"/etc/passwd does not know",
				(int)len, name);
	}
	if (!get_field(line, line_len, 2, &field, &n) || !parse_id(field, n, &u->uid) ||
	    !get_field(line, line_len, 3, &field, &n) || !parse_id(field, n, &u->gid))
		return pfs_fail(err, PFS_E_INVALID,
				"the image's /etc/passwd has no ids for user \"%.*s\"", (int)len,
				name);
	if (get_field(line, line_len, 5, &field, &n) && n < sizeof(u->home))
		snprintf(u->home, sizeof(u->home), "%.*s", (int)n, field);
	return 0;
}

static int find_group(const char *name, const struct pfs_buf *group, struct pfs_ocispec_user *u,
		      struct pfs_error *err)
{
	const char *line, *field;
	size_t line_len, n;

	if (parse_id(name, strlen(name), &u->gid))
		return 0;
	if (!find_line(group, 0, name, strlen(name), &line, &line_len) ||
	    !get_field(line, line_len, 2, &field, &n) || !parse_id(field, n, &u->gid))
		return pfs_fail(err, PFS_E_INVALID,
				"the image wants to run as group \"%s\", which its /etc/group does "
				"not know",
				name);
	return 0;
}

static bool lists_member(const char *list, size_t len, const char *name, size_t name_len)
{
	while (len) {
		const char *comma = memchr(list, ',', len);
		size_t n = comma ? (size_t)(comma - list) : len;

		if (n == name_len && memcmp(list, name, n) == 0)
			return true;
		list += n + (comma ? 1 : 0);
		len -= n + (comma ? 1 : 0);
	}
	return false;
}

static void add_groups(const char *name, size_t len, const struct pfs_buf *group,
		       struct pfs_ocispec_user *u)
{
	const char *rest = pfs_buf_str(group), *line, *field;
	size_t line_len, n;
	uint32_t gid;

	while (u->n_groups < PFS_GROUPS_MAX && next_line(&rest, &line, &line_len))
		if (get_field(line, line_len, 3, &field, &n) && lists_member(field, n, name, len) &&
		    get_field(line, line_len, 2, &field, &n) && parse_id(field, n, &gid))
			u->groups[u->n_groups++] = gid;
}

int pfs_imageuser_find(const char *text, const char *layers, struct pfs_ocispec_user *out,
		       struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf passwd = PFS_BUF_INIT(FILE_MAX);
	PFS_AUTO(pfs_buf_fini) struct pfs_buf group = PFS_BUF_INIT(FILE_MAX);
	struct pfs_ocispec_user u = { 0 };
	const char *name = text[0] ? text : "0";
	size_t len = strcspn(name, ":");
	int rc;

	rc = load(layers, "etc/passwd", &passwd, err);
	if (rc == 0)
		rc = load(layers, "etc/group", &group, err);
	if (rc == 0)
		rc = find_user(name, len, &passwd, &u, err);
	if (rc == 0 && name[len] == ':')
		rc = find_group(name + len + 1, &group, &u, err);
	if (rc < 0)
		return rc;
	if (name[len] != ':')
		add_groups(name, len, &group, &u);
	if (!u.home[0])
		strcpy(u.home, u.uid == 0 ? "/root" : "/");
	*out = u;
	return 0;
}
