/*
 * What repacking gains on real files, and what it costs.
 *
 *	bench_repack FOLDER...    each is committed in the place of the one before; then the store is tidied
 *
 * A line each: words of a name, a number, a unit.
 */
#include "../world.h"
#include "store/store.h"
#include "store/store_i.h"
#include "store/health.h"
#include "store/packlog.h"
#include "store/packset.h"
#include <pfs/admin.h>

#include <dirent.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void copy_file(struct pfs_workspace *ws, struct pfs_node *dir, const char *name, int from)
{
	const struct pfs_node_make make = { .type = PFS_ENTRY_FILE, .mode = 0644 };
	static char buf[1 << 20];
	struct pfs_node *file = NULL;
	struct pfs_open *open = NULL;
	struct pfs_error err = { 0 };
	uint64_t at = 0;
	ssize_t n;

	if (pfs_workspace_lookup(ws, dir, name, strlen(name), &file, &err) < 0)
		CHECK(pfs_workspace_make(ws, dir, name, strlen(name), &make, &file, &err) == 0,
		      "%s: %s", name, err.text);
	CHECK(pfs_workspace_open_file(ws, file, true, true, &open, &err) == 0, "%s", err.text);
	while ((n = read(from, buf, sizeof(buf))) > 0) {
		CHECK(pfs_workspace_write(open, at, buf, (size_t)n, &err) == 0, "%s", err.text);
		at += (uint64_t)n;
	}
	pfs_workspace_close_file(&open);
	pfs_node_unref(&file);
}

static void copy_folder(struct pfs_workspace *ws, struct pfs_node *dir, int from)
{
	DIR *list = fdopendir(dup(from));
	struct dirent *d;

	CHECK(list, "a folder");
	while ((d = readdir(list))) {
		int fd = openat(from, d->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		struct stat st;

		if (fd < 0 || d->d_name[0] == '.' || fstat(fd, &st) < 0) {
			pfs_fd_close(&fd);
			continue;
		}
		if (S_ISDIR(st.st_mode)) {
			struct pfs_node *sub = pfs_node_ref(dir);

			CHECK(world_enter(ws, &sub, d->d_name, strlen(d->d_name), NULL) == 0, "%s",
			      d->d_name);
			copy_folder(ws, sub, fd);
			pfs_node_unref(&sub);
		} else if (S_ISREG(st.st_mode)) {
			copy_file(ws, dir, d->d_name, fd);
		}
		close(fd);
	}
	closedir(list);
}

static void commit_folder(struct world *w, const char *path)
{
	struct pfs_workspace *ws = NULL;
	struct pfs_error err = { 0 };
	struct pfs_commit_id id;
	struct pfs_node *root;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	CHECK(fd >= 0, "%s", path);
	CHECK(pfs_history_workspace(w->h, "r", "master", &ws, &err) == 0, "%s", err.text);
	root = pfs_workspace_root(ws);
	copy_folder(ws, root, fd);
	pfs_node_unref(&root);
	pfs_history_release(w->h, &ws);
	close(fd);
	CHECK(pfs_commit_branch(w->h, "r", "master", NULL, &id, &err) == 0, "%s", err.text);
}

/* As if more had come: packs are sealed when they are full. */
static void seal_all(struct world *w)
{
	struct pfs_store_parts parts;
	struct pfs_pack *pack;
	size_t pos = 0;

	CHECK(pfs_store_parts(w->store, &parts), "packs");
	while ((pack = pfs_packset_next(parts.set, &pos)))
		if (!pack->sealed)
			CHECK(pfs_packlog_seal(parts.log, pack, NULL) >= 0, "seal");
}

static int read_object(void *arg, const struct pfs_id *id, struct pfs_error *err)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;

	return pfs_store_get(arg, PFS_KIND_CHUNK, id, &o, err);
}

/* Every chunk, in the order of packs, with nothing in our cache. */
static void read_all(struct world *w, const char *data, const char *when)
{
	struct pfs_error err = { 0 };
	double began;

	world_close(w);
	CHECK(world_open(w, data, &err) == 0, "%s", err.text);
	began = cpu();
	CHECK(pfs_store_list(w->store, PFS_KIND_CHUNK, read_object, w->store, &err) == 0, "%s",
	      err.text);
	printf("reading all chunks %s %.2f s\n", when, cpu() - began);
}

static void show(struct world *w, const char *when)
{
	struct pfs_store_stats s;

	pfs_store_stats(w->store, &s);
	printf("store %s %.2f MB\n", when, (double)s.pack_bytes / 1e6);
	printf("# %llu objects of %.2f MB, %llu deltas, %llu bundled, %llu adopted files, %llu "
	       "packs\n",
	       (unsigned long long)s.objects, (double)s.object_bytes / 1e6,
	       (unsigned long long)s.deltas, (unsigned long long)s.bundled,
	       (unsigned long long)s.adopted_files, (unsigned long long)s.packs);
}

int main(int argc, char **argv)
{
	struct pfs_tidy_report r = { .more = true };
	struct scratch dir = scratch_new();
	struct pfs_error err = { 0 };
	struct world w;
	uint64_t read = 0;
	double began;

	CHECK(argc > 1, "bench_repack FOLDER...");
	CHECK(world_open(&w, dir.path, &err) == 0, "%s", err.text);
	CHECK(pfs_repo_create(w.h, "r", &err) == 0, "%s", err.text);
	CHECK(world_branch(&w, "r", "master", &err) == 0, "%s", err.text);
	for (int i = 1; i < argc; i++)
		commit_folder(&w, argv[i]);
	seal_all(&w);
	show(&w, "before");
	read_all(&w, dir.path, "before");
	for (began = cpu(); r.more; read += r.read_bytes)
		CHECK(pfs_history_tidy(w.h, NULL, &r, &err) == 0, "%s", err.text);
	began = cpu() - began;
	show(&w, "after");
	read_all(&w, dir.path, "after");
	printf("tidied %.2f MB\n", (double)read / 1e6);
	printf("cpu time %.2f s\n", began);
	printf("cpu time of a GB read %.1f s\n", read ? began * 1e9 / (double)read : 0);
	world_close(&w);
	scratch_fini(&dir);
	return 0;
}
