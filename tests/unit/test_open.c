#include "../scratch.h"
#include <pfs/pfs.h>

#include <criterion/criterion.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int rc, const struct pfs_error *err)
{
	cr_assert_eq(rc, 0, "%s", err->text);
}

Test(open, makes_the_folder_and_finds_it_again)
{
	static const char *const names[] = { "lock", "meta.db", "store", "workspaces", "logs" };
	struct scratch dir = scratch_new();
	struct pfs_instance *pfs = NULL;
	struct pfs_error err = { 0 };
	struct pfs_repo repo;
	char data[300], path[320];

	snprintf(data, sizeof(data), "%s/deep/data", dir.path);
	must(pfs_open(data, &pfs, &err), &err);
	cr_expect_not_null(pfs_instance_view(pfs));
	cr_expect_not_null(pfs_instance_pipelines(pfs));
	must(pfs_repo_create(pfs_instance_history(pfs), "books", &err), &err);
	must(pfs_instance_tick(pfs, &err), &err);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(path, sizeof(path), "%s/%s", data, names[i]);
		cr_expect_eq(access(path, F_OK), 0, "%s", path);
	}
	pfs_close(&pfs);
	cr_expect_null(pfs);
	must(pfs_open(data, &pfs, &err), &err);
	must(pfs_repo_inspect(pfs_instance_history(pfs), "books", &repo, &err), &err);
	pfs_close(&pfs);
	scratch_fini(&dir);
}

Test(open, has_an_instance_once)
{
	struct scratch dir = scratch_new();
	struct pfs_instance *first = NULL, *second = NULL;
	struct pfs_error err = { 0 };
	int status = 0;
	pid_t child;

	must(pfs_open(dir.path, &first, &err), &err);
	cr_expect_eq(pfs_open(dir.path, &second, &err), PFS_E_BUSY);
	cr_expect(strstr(err.text, dir.path), "%s", err.text);
	cr_expect_null(second);
	child = fork();
	if (child == 0)
		_exit(pfs_open(dir.path, &second, NULL) == PFS_E_BUSY ? 0 : 1);
	waitpid(child, &status, 0);
	cr_expect_eq(status, 0, "another process opened it too");
	pfs_close(&first);
	must(pfs_open(dir.path, &second, &err), &err);
	pfs_close(&second);
	scratch_fini(&dir);
}

Test(open, says_what_is_in_the_way)
{
	struct scratch dir = scratch_new();
	struct pfs_instance *pfs = NULL;
	struct pfs_error err = { 0 };
	char path[300];

	snprintf(path, sizeof(path), "%s/meta.db", dir.path);
	cr_assert_eq(mkdir(path, 0700), 0);
	cr_expect_lt(pfs_open(dir.path, &pfs, &err), 0);
	cr_expect(strstr(err.text, "meta.db"), "%s", err.text);
	cr_expect_null(pfs);
	cr_assert_eq(rmdir(path), 0);
	must(pfs_open(dir.path, &pfs, &err), &err); /* what failed holds nothing */
	pfs_close(&pfs);
	snprintf(path, sizeof(path), "%s/lock/x", dir.path);
	cr_expect_lt(pfs_open(path, &pfs, &err), 0);
	cr_expect(strstr(err.text, "lock"), "%s", err.text);
	scratch_fini(&dir);
}

Test(open, tells_its_version)
{
	int major = -1, minor = -1, patch = -1;

	cr_expect_eq(sscanf(pfs_version(), "%d.%d.%d", &major, &minor, &patch), 3);
}
