#include "fuse/feature.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OVERLAYFS_MAGIC 0x794c7630

/*
 * In the order in which they are told, and in which pfs-handover(5) has them: new ones
 * go to the end. Those without a capability are between us and the kernel's cache, or
 * attributes that we answer for.
 */
static const struct feature {
	const char *name;
	size_t at; /* in the options */
	uint64_t capability;
	bool missed; /* by users, so it is not among "all" */
} features[] = {
	{ "passthrough", offsetof(struct pfs_fuse_options, passthrough), FUSE_CAP_PASSTHROUGH },
	{ "io_uring", offsetof(struct pfs_fuse_options, io_uring), FUSE_CAP_OVER_IO_URING },
	{ "readdirplus", offsetof(struct pfs_fuse_options, readdirplus), FUSE_CAP_READDIRPLUS },
	{ "parallel_dirops", offsetof(struct pfs_fuse_options, parallel_dirops),
	  FUSE_CAP_PARALLEL_DIROPS },
	{ "notify", offsetof(struct pfs_fuse_options, notify), 0 },
	{ "symlinks", offsetof(struct pfs_fuse_options, symlinks), FUSE_CAP_CACHE_SYMLINKS },
	{ "killpriv", offsetof(struct pfs_fuse_options, killpriv), FUSE_CAP_HANDLE_KILLPRIV_V2 },
	{ "xattr", offsetof(struct pfs_fuse_options, xattr), 0, true },
};

#define N_FEATURES (sizeof(features) / sizeof(*features))

static bool *field(struct pfs_fuse_options *o, const struct feature *f)
{
	return (bool *)((char *)o + f->at);
}

/* ---- by name ---- */

bool pfs_fuse_switch(struct pfs_fuse_options *o, const char *name, bool on)
{
	bool all = strcmp(name, "all") == 0, found = all;

	for (size_t i = 0; i < N_FEATURES; i++) {
		if (all ? features[i].missed : strcmp(features[i].name, name) != 0)
			continue;
		*field(o, &features[i]) = on;
		found = true;
	}
	return found;
}

/* Appends " name", or "name" as the first; what does not fit is left out. */
static void add_word(char *line, size_t size, const char *word)
{
	size_t len = strlen(line);

	snprintf(line + len, size - len, "%s%s", len ? " " : "", word);
}

const char *pfs_fuse_feature_names(void)
{
	static char line[160];

	line[0] = '\0';
	for (size_t i = 0; i < N_FEATURES; i++)
		add_word(line, sizeof(line), features[i].name);
	return line;
}

/* Those that libfuse hands on to mount(2). */
bool pfs_fuse_is_flag(const char *word)
{
	static const char *const flags[] = {
		"ro",          "rw",      "suid",       "nosuid",        "dev",
		"nodev",       "exec",    "async",      "noexec",        "sync",
		"dirsync",     "noatime", "nodiratime", "nostrictatime", "symfollow",
		"nosymfollow",
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		if (strcmp(word, flags[i]) == 0)
			return true;
	return false;
}

/* ---- what both sides want ---- */

/* io_uring is a switch of the whole kernel, which the administrator turns. */
static bool kernel_has_uring(void)
{
	char state = 'N';
	int fd = open("/sys/module/fuse/parameters/enable_uring", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (read(fd, &state, 1) != 1)
		state = 'N';
	close(fd);
	return state == 'Y';
}

/* Only who may do all may lend files to the kernel. */
static bool may_lend(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return syscall(SYS_capget, &head, sets) == 0 &&
	       (sets[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN));
}

void pfs_feature_want(struct pfs_mount *m)
{
	m->agreed = m->o;
	m->agreed.passthrough = m->o.passthrough && may_lend();
	m->agreed.io_uring = m->o.io_uring && kernel_has_uring();
}

static bool data_is_stacked(struct pfs_mount *m)
{
	struct statfs st;

	return statfs(pfs_view_data_dir(m->view), &st) == 0 && st.f_type == OVERLAYFS_MAGIC;
}

static void want(struct fuse_conn_info *conn, uint64_t flag, bool on)
{
	if (on && (conn->capable_ext & flag))
		fuse_set_feature_flag(conn, flag);
	else
		fuse_unset_feature_flag(conn, flag);
}

void pfs_feature_negotiate(struct pfs_mount *m, struct fuse_conn_info *conn)
{
	for (size_t i = 0; i < N_FEATURES; i++) {
		bool *on = field(&m->agreed, &features[i]);

		if (!features[i].capability)
			continue;
		want(conn, features[i].capability, *on);
		*on = conn->want_ext & features[i].capability;
	}
	/* Deeper only where it must be: it keeps others from stacking on us. */
	conn->max_backing_stack_depth =
		data_is_stacked(m) ? FUSE_BACKING_STACKED_OVER : FUSE_BACKING_STACKED_UNDER;
	/* The kernel would ask for the first page of a directory alone, and then name by name. */
	want(conn, FUSE_CAP_READDIRPLUS_AUTO, false);
	want(conn, FUSE_CAP_HANDLE_KILLPRIV, false);
	/*
	 * A file's own writes change its time: that is no reason to drop its
	 * pages. We tell, and when we are not to, the time has to do.
	 */
	want(conn, FUSE_CAP_AUTO_INVAL_DATA, !m->o.notify);
	m->passthrough = m->agreed.passthrough;
}

uint32_t pfs_feature_bits(const struct pfs_fuse_options *o)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < N_FEATURES; i++)
		if (*(const bool *)((const char *)o + features[i].at))
			bits |= 1u << i;
	return bits;
}

void pfs_feature_set_bits(struct pfs_fuse_options *o, uint32_t bits)
{
	for (size_t i = 0; i < N_FEATURES; i++)
		*field(o, &features[i]) = bits >> i & 1;
}

void pfs_feature_describe(struct pfs_mount *m)
{
	m->features[0] = '\0';
	for (size_t i = 0; i < N_FEATURES; i++)
		if (*field(&m->agreed, &features[i]))
			add_word(m->features, sizeof(m->features), features[i].name);
	if (!m->features[0])
		add_word(m->features, sizeof(m->features), "none");
}
