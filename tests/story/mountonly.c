/*
 * Mount an instance and nothing else, for tests of the driver alone:
 *
 *	mountonly DATA MOUNTPOINT [FEATURE=0 ... tick=0]
 *
 * Features are those of fuse.h, "all=0" is without any.
 *
 * Commands come as lines on standard input and work behind the mount's back:
 * "put REPO BRANCH NAME TEXT", "commit REPO BRANCH MESSAGE", "remove REPO BRANCH
 * NAME", "branch REPO NAME", "drop REPO NAME", "discard REPO BRANCH",
 * "datum NAME REPO COMMIT PATH OUTREPO OUTBRANCH", "undatum NAME". Each is
 * answered by "ok" or an error. "known" is answered by the number of inodes and
 * that of answers prepared for the kernel. "again" ends serving and closes the
 * instance, then opens it and goes on with the mount, as the next process would.
 * The end of input unmounts.
 */
#include "fuse/fuse.h"
#include "fuse/mount.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct pfs_instance *pfs;
static struct pfs_mount *mount_of_all;
static struct pfs_fuse_options options = PFS_FUSE_OPTIONS_INIT;
static const char *data, *mountpoint;
static pthread_mutex_t ticking = PTHREAD_MUTEX_INITIALIZER;
static volatile bool done;

static void *tick(void *arg)
{
	(void)arg;
	while (!done) {
		pthread_mutex_lock(&ticking);
		pfs_instance_tick(pfs, NULL);
		pthread_mutex_unlock(&ticking);
		usleep(500000);
	}
	return NULL;
}

/* What fails here leaves nothing to go on with. */
static void again(void)
{
	struct pfs_fuse_held held = PFS_FUSE_HELD_NONE;
	struct pfs_error err = { 0 };
	int rc;

	pthread_mutex_lock(&ticking);
	rc = pfs_fuse_hold(&mount_of_all, &held, &err);
	pfs_close(&pfs);
	if (rc == 0)
		rc = pfs_open(data, &pfs, &err);
	if (rc == 0)
		rc = pfs_fuse_take(pfs, mountpoint, &options, &held, &mount_of_all, &err);
	if (rc < 0) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
	pthread_mutex_unlock(&ticking);
}

static int find_branch(const char *repo, const char *branch, struct pfs_handle **out,
		       struct pfs_error *err)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", repo, branch);
	return pfs_view_walk(pfs_instance_view(pfs), path, out, NULL, err);
}

static int put(const char *repo, const char *branch, const char *name, const char *text,
	       struct pfs_error *err)
{
	struct pfs_view *v = pfs_instance_view(pfs);
	struct pfs_who who = { 0, 0 };
	struct pfs_handle *dir, *h = NULL;
	struct pfs_file *f = NULL;
	struct pfs_attr a;
	int rc = find_branch(repo, branch, &dir, err);

	if (rc < 0)
		return rc;
	rc = pfs_view_create(v, dir, name, PFS_OPEN_WRITE | PFS_OPEN_TRUNCATE, 0644, &who, &h, &a,
			     &f, err);
	if (rc == 0)
		rc = pfs_file_write(f, 0, text, strlen(text), err);
	if (f)
		pfs_file_close(&f, NULL);
	pfs_handle_unref(&h);
	pfs_handle_unref(&dir);
	return rc;
}

static int remove_file(const char *repo, const char *branch, const char *name,
		       struct pfs_error *err)
{
	struct pfs_handle *dir;
	int rc = find_branch(repo, branch, &dir, err);

	if (rc < 0)
		return rc;
	rc = pfs_view_unlink(pfs_instance_view(pfs), dir, name, err);
	pfs_handle_unref(&dir);
	return rc;
}

static int add_datum(char **word, struct pfs_error *err)
{
	struct pfs_datum_input in = { .name = "x", .repo = word[2], .path = word[4] };
	int rc = pfs_commit_id_parse(word[3], &in.commit, err);

	if (strcmp(word[4], "/") == 0)
		in.path = "";
	if (rc < 0)
		return rc;
	return pfs_view_add_datum(pfs_instance_view(pfs), word[1], &in, 1, word[5], word[6], err);
}

static int commit(const char *repo, const char *branch, const char *message, struct pfs_error *err)
{
	struct pfs_commit_options o = PFS_COMMIT_OPTIONS_INIT;
	struct pfs_commit_id id;

	o.message = message;
	return pfs_commit_branch(pfs_instance_history(pfs), repo, branch, &o, &id, err);
}

static int run(char **word, int n, struct pfs_error *err)
{
	struct pfs_history *h = pfs_instance_history(pfs);

	if (n == 5 && strcmp(word[0], "put") == 0)
		return put(word[1], word[2], word[3], word[4], err);
	if (n == 4 && strcmp(word[0], "remove") == 0)
		return remove_file(word[1], word[2], word[3], err);
	if (n == 4 && strcmp(word[0], "commit") == 0)
		return commit(word[1], word[2], word[3], err);
	if (n == 3 && strcmp(word[0], "branch") == 0)
		return pfs_branch_create(h, word[1], word[2], NULL, err);
	if (n == 3 && strcmp(word[0], "drop") == 0)
		return pfs_branch_delete(h, word[1], word[2], true, err);
	if (n == 3 && strcmp(word[0], "discard") == 0)
		return pfs_commit_discard(h, word[1], word[2], NULL, err);
	if (n == 7 && strcmp(word[0], "datum") == 0)
		return add_datum(word, err);
	if (n == 2 && strcmp(word[0], "undatum") == 0) {
		pfs_view_remove_datum(pfs_instance_view(pfs), word[1]);
		return 0;
	}
	if (n == 1 && strcmp(word[0], "again") == 0) {
		int rc = pfs_fuse_can_hold(mount_of_all, err);

		if (rc == 0)
			again();
		return rc;
	}
	snprintf(err->text, sizeof(err->text), "no such command");
	return PFS_E_INVALID;
}

static void tell_known(void)
{
	struct pfs_mount *m = mount_of_all;
	unsigned n, ahead;

	pfs_lock(&m->lock);
	n = m->inodes.n;
	ahead = m->n_ahead;
	pfs_unlock(&m->lock);
	printf("%u %u\n", n, ahead);
}

static void serve(void)
{
	char line[4096];

	while (fgets(line, sizeof(line), stdin)) {
		struct pfs_error err = { 0 };
		char *word[8], *rest = line;
		int n = 0;

		line[strcspn(line, "\n")] = '\0';
		while (n < 8 && (word[n] = strsep(&rest, " ")))
			n++;
		if (n == 1 && strcmp(word[0], "known") == 0)
			tell_known();
		else if (run(word, n, &err) < 0)
			printf("error %s\n", err.text);
		else
			printf("ok\n");
		fflush(stdout);
	}
}

static void log_line(void *arg, const char *line)
{
	(void)arg;
	fprintf(stderr, "%s\n", line);
}

static void read_options(int argc, char **argv)
{
	for (int i = 3; i < argc; i++) {
		char *value = strstr(argv[i], "=0");

		if (value)
			*value = '\0';
		if (strcmp(argv[i], "tick") == 0)
			done = true;
		else if (!value || !pfs_fuse_switch(&options, argv[i], false))
			fprintf(stderr, "unknown option %s\n", argv[i]);
	}
}

int main(int argc, char **argv)
{
	struct pfs_error err = { 0 };
	pthread_t ticker;

	if (argc < 3)
		return 2;
	read_options(argc, argv);
	options.log = log_line;
	data = argv[1];
	mountpoint = argv[2];
	if (pfs_open(data, &pfs, &err) < 0 ||
	    pfs_fuse_mount(pfs, mountpoint, &options, &mount_of_all, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	pthread_create(&ticker, NULL, tick, NULL);
	printf("mounted %s\n", pfs_fuse_features(mount_of_all));
	fflush(stdout);
	serve();
	done = true;
	pthread_join(ticker, NULL);
	pfs_fuse_unmount(&mount_of_all);
	pfs_close(&pfs);
	return 0;
}
