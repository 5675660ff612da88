#include "fuse/mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEAD_MOUNTS_MAX 1000u
#define TYPE_SIZE       64u
#define ANSWER_MS       5000
#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC 0x65735546
#endif

/* ---- the table of mounts ---- */

/* Blanks and backslashes are written as three octal digits. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (text[0] == '\\' && text[1] && text[2] && text[3]) {
			*to++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 |
				       (text[3] - '0'));
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

/* "36 35 98:0 /root /mountpoint options ... - type source options" */
static bool parse_line(char *line, char **out_path, char **out_type)
{
	char *dash = strstr(line, " - "), *save;

	*out_path = strtok_r(line, " ", &save);
	for (int i = 0; *out_path && i < 4; i++)
		*out_path = strtok_r(NULL, " ", &save);
	*out_type = dash ? strtok_r(dash + 3, " ", &save) : NULL;
	return *out_path && *out_type;
}

/* The path without links; of a dead mount only what is above it can be looked at. */
static void straighten(const char *path, char out[2 * PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	char above[PATH_MAX], straight[PATH_MAX];

	snprintf(out, 2 * PATH_MAX, "%s", path);
	if (!slash)
		return;
	snprintf(above, sizeof(above), "%.*s/", (int)(slash - path), path);
	if (realpath(above, straight))
		snprintf(out, 2 * PATH_MAX, "%s%s", strcmp(straight, "/") == 0 ? "" : straight,
			 slash);
}

/* The type of what is mounted on top at `path`; "" for nothing. */
static void type_at(const char *path, char out[TYPE_SIZE])
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, *where, *type, straight[2 * PATH_MAX];
	size_t size = 0;

	out[0] = '\0';
	straighten(path, straight);
	while (f && getline(&line, &size, f) > 0) {
		if (!parse_line(line, &where, &type))
			continue;
		unescape(where);
		if (strcmp(where, straight) == 0)
			snprintf(out, TYPE_SIZE, "%s", type);
	}
	free(line);
	if (f)
		fclose(f);
}

/* "fuse": of a kernel that does not know the types of file systems in user space. */
static bool may_be_ours(const char *type)
{
	return strcmp(type, "fuse.pfs") == 0 || strcmp(type, "fuse") == 0;
}

/* ---- taking away ---- */

/* By the program that may, for those who may not. */
static bool ask_fusermount(const char *path)
{
	const char *const argv[] = { "fusermount3", "-u", "-q", "-z", "--", path, NULL };
	posix_spawnattr_t how;
	sigset_t none;
	pid_t child;
	int status = -1, rc;

	if (posix_spawnattr_init(&how) != 0)
		return false;
	sigemptyset(&none);
	posix_spawnattr_setsigmask(&how, &none);
	posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK);
	rc = posix_spawnp(&child, argv[0], NULL, &how, (char *const *)(uintptr_t)argv, environ);
	posix_spawnattr_destroy(&how);
	while (rc == 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return rc == 0 && status == 0;
}

/* What is on top at `path`, whoever uses it; errno says why not. */
static int take_away(const char *path)
{
	int why;

	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		return 0;
	why = errno;
	if (why == EPERM && geteuid() != 0 && ask_fusermount(path))
		return 0;
	errno = why;
	return -1;
}

/* ---- what is in the way ---- */

/*
 * A killed pfsd leaves a mount on which nobody answers, and the next one may
 * have been put on top of it. Attributes are no proof of life, the kernel has
 * those by heart; statfs always asks.
 */
static bool is_dead(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) < 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

static int clear_dead_mounts(struct pfs_mount *m, const char *path, struct pfs_error *err)
{
	char type[TYPE_SIZE];

	for (unsigned i = 0; i < DEAD_MOUNTS_MAX && is_dead(path); i++) {
		type_at(path, type);
		if (!may_be_ours(type))
			return pfs_fail(
				err, PFS_E_BUSY,
				"a dead mount of type %s is there, and is not ours: umount %s",
				type[0] ? type : "(unknown)", path);
		if (take_away(path) < 0)
			return pfs_fail_errno(err, errno, "take away the dead mount");
		pfs_mount_log(m, "a dead mount was taken away");
	}
	return 0;
}

/*
 * Whoever asks a mount that waits for its next pfsd waits with it, and nothing but
 * the end of the process ends that: so a child asks.
 */
static int check_answers(const char *path, struct pfs_error *err)
{
	const struct timespec turn = { .tv_nsec = 10 * 1000000L };
	pid_t child = fork();
	int left = ANSWER_MS / 10;
	struct statfs fs;

	if (child < 0)
		return pfs_fail_errno(err, errno, "fork");
	if (child == 0) {
		/* What we have open is not to stay open in it, if we are killed. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close_range(0, ~0U, 0);
		statfs(path, &fs);
		_exit(0);
	}
	for (; left > 0 && waitpid(child, NULL, WNOHANG) == 0; left--) {
		/* It does not go if somebody works on its request. */
		if (left == ANSWER_MS / 50)
			kill(child, SIGKILL);
		nanosleep(&turn, NULL);
	}
	if (left > ANSWER_MS / 50)
		return 0;
	return pfs_fail(err, PFS_E_BUSY,
			"a mount is there that does not answer in time; if it waits for the pfsd "
			"of another data folder, start that one, or fusermount3 -uz %s",
			path);
}

/* On top of a mount that lives we would hide it, and end with it in the way. */
static int check_unmounted(const char *path, struct pfs_error *err)
{
	char parent[PATH_MAX + 4];
	struct stat here, above;
	struct statfs fs;

	snprintf(parent, sizeof(parent), "%s/..", path);
	if (statfs(path, &fs) < 0 || fs.f_type != FUSE_SUPER_MAGIC)
		return 0;
	if (stat(path, &here) < 0 || stat(parent, &above) < 0 || here.st_dev == above.st_dev)
		return 0;
	return pfs_fail(
		err, PFS_E_BUSY,
		"something is mounted there already: is another pfsd running? choose another "
		"folder with --mount");
}

/* Below its own mount the data folder would wait for itself. */
static int check_apart(struct pfs_mount *m, struct pfs_error *err)
{
	char data[PATH_MAX];
	size_t n = strlen(m->mountpoint);

	if (!realpath(pfs_view_data_dir(m->view), data))
		return pfs_fail_errno(err, errno, "%s", pfs_view_data_dir(m->view));
	if (strncmp(data, m->mountpoint, n) == 0 && (data[n] == '/' || data[n] == '\0'))
		return pfs_fail(err, PFS_E_INVALID, "data folder %s lies below the mount %s", data,
				m->mountpoint);
	return 0;
}

/* Allowed, as by mount(8); but somebody who wrote there without a mount looks for it in vain. */
static void tell_what_is_hidden(struct pfs_mount *m)
{
	DIR *dir = opendir(m->mountpoint);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		pfs_mount_log(m,
			      "the folder is not empty: \"%s\" and what else is there is "
			      "hidden while it is mounted",
			      e->d_name);
		break;
	}
	if (dir)
		closedir(dir);
}

/* The kernel has let go of it: it was unmounted, or somebody cut it off. */
static bool is_gone(int device)
{
	struct pollfd p = { .fd = device };

	return device >= 0 && poll(&p, 1, 0) > 0 && (p.revents & POLLERR);
}

/* What is on top at `path` may be ours by its type, and has our number, which no other has while ours is there. */
static bool is_ours(const char *path, dev_t dev)
{
	const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
	char type[TYPE_SIZE];
	struct statx st;

	type_at(path, type);
	/* Without a table of mounts the number has to do. */
	if (!may_be_ours(type) && (type[0] || !dev))
		return false;
	return !dev || (statx(AT_FDCWD, path, flags, 0, &st) == 0 &&
			makedev(st.stx_dev_major, st.stx_dev_minor) == dev);
}

int pfs_mountpoint_take(struct pfs_mount *m, const char *path, const struct pfs_handover *h,
			int device, struct pfs_error *err)
{
	char straight[2 * PATH_MAX];

	m->dev = (dev_t)h->device;
	m->mountpoint = strndup((const char *)h->mountpoint, h->mountpoint_len);
	if (!m->mountpoint)
		return pfs_fail_nomem(err, "a path");
	straighten(path, straight);
	if (strcmp(straight, m->mountpoint) != 0) {
		pfs_mountpoint_leave(m->mountpoint, m->dev, device);
		return pfs_fail(err, PFS_E_CONFLICT, "it was mounted at %s", m->mountpoint);
	}
	if (is_gone(device) || !is_ours(m->mountpoint, m->dev))
		return pfs_fail(err, PFS_E_CONFLICT, "%s is not mounted any more", m->mountpoint);
	return 0;
}

int pfs_mountpoint_prepare(struct pfs_mount *m, const char *path, struct pfs_error *err)
{
	struct stat st;
	int rc = check_answers(path, err);

	if (rc == 0)
		rc = clear_dead_mounts(m, path, err);
	if (rc == 0)
		rc = check_unmounted(path, err);
	if (rc < 0)
		return rc;
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return pfs_fail_errno(err, errno, "mount point %s", path);
	m->mountpoint = realpath(path, NULL);
	if (!m->mountpoint || stat(m->mountpoint, &st) < 0)
		return pfs_fail_errno(err, errno, "mount point %s", path);
	if (!S_ISDIR(st.st_mode))
		return pfs_fail(err, PFS_E_NOTDIR, "mount point %s is not a directory", path);
	rc = check_apart(m, err);
	if (rc == 0)
		tell_what_is_hidden(m);
	return rc;
}

/* ---- leaving ---- */

int pfs_mountpoint_leave(const char *path, dev_t dev, int device)
{
	bool ours = is_ours(path, dev);

	/* Its number may be another's by now. */
	if (ours && is_gone(device))
		ours = is_dead(path);
	return ours ? take_away(path) : 0;
}
