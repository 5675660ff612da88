#include "base/io.h"
#include "runtime/imageuser.h"
#include "runtime/ocispec.h"
#include "runtime/seccomp.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char config_text[] =
	"{\"os\":\"linux\",\"config\":{\"Env\":[\"A=image\",\"B=image\",\"bare\"],\"Entrypoint\":["
	"\"/entry\"],"
	"\"Cmd\":[\"one\"],\"WorkingDir\":\"/work\"},\"rootfs\":{\"diff_ids\":[]}}";

/* The spec of a run as JSON again; NULL and `rc` when it was refused. */
static json_t *make(struct pfs_run *run, int *rc)
{
	PFS_AUTO(pfs_imageconfig_fini) struct pfs_imageconfig image = { 0 };
	PFS_AUTO(pfs_buf_fini) struct pfs_buf text = PFS_BUF_INIT(1 << 20);
	struct pfs_ocispec_user user = {
		.uid = 1000, .gid = 100, .n_groups = 1, .groups = { 7 }, .home = "/home/u"
	};
	const struct pfs_ocispec spec = { .run = run,
					  .image = &image,
					  .user = &user,
					  .cgroup = "/pfs/x",
					  .memory_limit = 1 << 20,
					  .pids_limit = 10,
					  .nofile = 99 };
	struct pfs_error err = { 0 };
	json_t *v = NULL;

	cr_assert_eq(pfs_imageconfig_parse(config_text, strlen(config_text), &image, &err), 0, "%s",
		     err.text);
	*rc = pfs_ocispec_format(&spec, &text, NULL);
	if (*rc == 0)
		cr_assert_eq(pfs_json_parse(text.data, text.len, &v, &err), 0, "%s", err.text);
	return v;
}

static json_t *at(json_t *v, const char *a, const char *b)
{
	v = json_object_get(v, a);
	return b ? json_object_get(v, b) : v;
}

static bool has_string(const json_t *list, const char *text)
{
	size_t i;
	json_t *v;

	json_array_foreach((json_t *)(uintptr_t)list, i,
			   v) if (json_is_string(v) &&
				  strcmp(json_string_value(v), text) == 0) return true;
	return false;
}

Test(ocispec, ours_wins_over_the_image_and_a_path_is_always_there)
{
	static const char *const argv[] = { "sh", "-c", "x", NULL };
	static const char *const env[] = { "B=ours", "C=", NULL };
	struct pfs_run run = { .image = "i", .argv = argv, .env = env };
	int rc;
	json_t *v = make(&run, &rc);
	json_t *got = at(v, "process", "env");

	cr_assert_eq(rc, 0);
	cr_expect(has_string(got, "A=image") && has_string(got, "B=ours") && has_string(got, "C="));
	cr_expect(has_string(got, "HOME=/home/u"));
	cr_expect_not(has_string(got, "B=image"));
	cr_expect_not(has_string(got, "bare"));
	cr_expect_eq(json_array_size(got), 5, "PATH, HOME, A, B, C");
	cr_expect_eq(json_array_size(at(v, "process", "args")), 3);
	cr_expect_str_eq(json_string_value(at(v, "process", "cwd")), "/work");
	json_decref(v);
}

Test(ocispec, without_a_command_the_images_is_run)
{
	struct pfs_run run = { .image = "i" };
	int rc;
	json_t *v = make(&run, &rc);

	cr_assert_eq(rc, 0);
	cr_expect_eq(json_array_size(at(v, "process", "args")), 2);
	cr_expect(has_string(at(v, "process", "args"), "/entry") &&
		  has_string(at(v, "process", "args"), "one"));
	json_decref(v);
}

Test(ocispec, the_walls_are_up)
{
	static const char *const never[] = { "CAP_SYS_ADMIN",  "CAP_MKNOD",      "CAP_NET_RAW",
					     "CAP_SYS_PTRACE", "CAP_SYS_MODULE", "CAP_NET_ADMIN",
					     "CAP_SYS_CHROOT" };
	struct pfs_run run = { .image = "i" };
	int rc;
	json_t *v = make(&run, &rc), *caps, *l = at(v, "linux", NULL);

	cr_assert_eq(rc, 0);
	caps = at(v, "process", "capabilities");
	cr_expect(json_is_true(at(v, "process", "noNewPrivileges")));
	for (size_t i = 0; i < sizeof(never) / sizeof(*never); i++)
		cr_expect_not(has_string(json_object_get(caps, "bounding"), never[i]), "%s",
			      never[i]);
	cr_expect_null(json_object_get(caps, "inheritable"));
	cr_expect_null(json_object_get(caps, "ambient"));
	cr_expect_str_eq(json_string_value(json_object_get(l, "rootfsPropagation")), "rslave");
	cr_expect_str_eq(json_string_value(json_object_get(l, "cgroupsPath")), "/pfs/x");
	cr_expect_eq(json_array_size(json_object_get(l, "namespaces")), 5);
	cr_expect_eq(json_integer_value(at(json_object_get(l, "resources"), "memory", "limit")),
		     1 << 20);
	cr_expect_eq(json_integer_value(at(json_object_get(l, "resources"), "pids", "limit")), 10);
	cr_expect(has_string(json_object_get(l, "maskedPaths"), "/proc/kcore"));
	cr_expect(has_string(json_object_get(l, "readonlyPaths"), "/proc/sys"));
	cr_expect_eq(json_integer_value(at(at(v, "process", "user"), "uid", NULL)), 1000);
	json_decref(v);
}

Test(ocispec, refuses_what_makes_no_sense)
{
	static const char *const bad_env[] = { "novalue", NULL };
	static const char *const empty_key[] = { "=x", NULL };
	static const char *const bad_argv[] = { "\xff\xfe", NULL };
	static const struct pfs_run_mount relative = { "/a", "b", false },
					  climbing = { "/a", "/b/../c", false },
					  no_source = { "a", "/b", false },
					  bytes = { "/\xff", "/b", false };
	struct pfs_run rows[] = {
		{ .image = "i", .env = bad_env },
		{ .image = "i", .env = empty_key },
		{ .image = "i", .argv = bad_argv },
		{ .image = "i", .cwd = "relative" },
		{ .image = "i", .mounts = &relative, .n_mounts = 1 },
		{ .image = "i", .mounts = &climbing, .n_mounts = 1 },
		{ .image = "i", .mounts = &no_source, .n_mounts = 1 },
		{ .image = "i", .mounts = &bytes, .n_mounts = 1 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int rc;

		cr_expect_null(make(&rows[i], &rc), "row %zu", i);
		cr_expect_eq(rc, PFS_E_INVALID, "row %zu: %d", i, rc);
	}
}

/* The rule that allows `name` whatever its arguments. */
static bool is_allowed(json_t *seccomp, const char *name)
{
	json_t *rule;
	size_t i;

	json_array_foreach(json_object_get(seccomp, "syscalls"), i,
			   rule) if (!json_object_get(rule, "args") &&
				     has_string(json_object_get(rule, "names"), name) &&
				     strcmp(json_string_value(json_object_get(rule, "action")),
					    "SCMP_ACT_ALLOW") == 0) return true;
	return false;
}

Test(ocispec, seccomp_allows_what_programs_need_and_not_what_leads_out)
{
	static const char *const needed[] = {
		"read",   "openat",    "execve",     "futex",           "mmap",   "wait4",
		"socket", "getrandom", "statx",      "copy_file_range", "rseq",   "epoll_wait",
		"fork",   "vfork",     "arch_prctl", "faccessat2",      "openat2"
	};
	static const char *const denied[] = { "mount",
					      "umount2",
					      "setns",
					      "unshare",
					      "bpf",
					      "keyctl",
					      "clone",
					      "clone3",
					      "init_module",
					      "kexec_load",
					      "open_by_handle_at",
					      "perf_event_open",
					      "userfaultfd",
					      "io_uring_setup",
					      "reboot",
					      "personality",
					      "move_mount",
					      "settimeofday",
					      "process_vm_readv" };
	json_t *v = pfs_seccomp_json();

	cr_assert(v);
	cr_expect_str_eq(json_string_value(json_object_get(v, "defaultAction")), "SCMP_ACT_ERRNO");
	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++)
		cr_expect(is_allowed(v, needed[i]), "%s", needed[i]);
	for (size_t i = 0; i < sizeof(denied) / sizeof(*denied); i++)
		cr_expect_not(is_allowed(v, denied[i]), "%s", denied[i]);
	json_decref(v);
}

/* ---- users ---- */

static void write_file(const char *dir, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

Test(ocispec, users_come_from_the_topmost_layer_that_knows_them)
{
	static const struct {
		const char *text;
		int want;
		uint32_t uid, gid;
		size_t n_groups;
		const char *home;
	} rows[] = {
		{ "", 0, 0, 0, 0, "/root" },
		{ "ann", 0, 1000, 50, 2, "/home/ann" },
		{ "1000", 0, 1000, 50, 0, "/home/ann" },
		{ "ann:staff", 0, 1000, 60, 0, "/home/ann" },
		{ "ann:77", 0, 1000, 77, 0, "/home/ann" },
		{ "4321", 0, 4321, 0, 0, "/" },
		{ "4321:8", 0, 4321, 8, 0, "/" },
		{ "old", PFS_E_INVALID, 0, 0, 0, "" },
		{ "ann:nogroup", PFS_E_INVALID, 0, 0, 0, "" },
		{ "99999999999", PFS_E_INVALID, 0, 0, 0, "" },
		{ "broken", PFS_E_INVALID, 0, 0, 0, "" },
	};
	char dir[] = "/tmp/pfs-user.XXXXXX", layers[128];

	cr_assert(mkdtemp(dir));
	for (int i = 0; i < 2; i++) {
		char sub[128];

		snprintf(sub, sizeof(sub), "%s/%d/etc", dir, i);
		cr_assert_eq(pfs_io_mkdir_all(AT_FDCWD, sub, NULL), 0);
	}
	write_file(dir, "0/etc/passwd",
		   "root:x:0:0::/root:/bin/sh\nann:x:1000:50::/home/ann:/bin/sh\nbroken:x\n");
	write_file(dir, "1/etc/passwd", "old:x:5:5::/:/bin/sh\n");
	write_file(dir, "1/etc/group",
		   "staff:x:60:ann,bob\nmore:x:61:bob,ann\nother:x:62:annabel\n");
	snprintf(layers, sizeof(layers), "%s/0:%s/1:/nowhere", dir, dir);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct pfs_ocispec_user u = { .uid = 77777 };
		struct pfs_error err = { 0 };

		cr_expect_eq(pfs_imageuser_find(rows[i].text, layers, &u, &err), rows[i].want,
			     "\"%s\": %s", rows[i].text, err.text);
		if (rows[i].want < 0)
			continue;
		cr_expect(u.uid == rows[i].uid && u.gid == rows[i].gid &&
				  u.n_groups == rows[i].n_groups,
			  "\"%s\": %u:%u and %zu", rows[i].text, u.uid, u.gid, u.n_groups);
		cr_expect_str_eq(u.home, rows[i].home);
	}
	pfs_io_remove_all(AT_FDCWD, dir, NULL);
}

Test(ocispec, a_symlink_in_an_image_does_not_lead_to_our_users)
{
	char dir[] = "/tmp/pfs-user.XXXXXX", path[128];
	struct pfs_ocispec_user u = { 0 };

	cr_assert(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/etc", dir);
	cr_assert_eq(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/etc/passwd", dir);
	cr_assert_eq(symlink("/etc/passwd", path), 0);
	cr_expect_eq(pfs_imageuser_find("daemon", dir, &u, NULL), PFS_E_INVALID);
	unlink(path);
	cr_assert_eq(symlink("../../../../../../etc/passwd", path), 0);
	cr_expect_eq(pfs_imageuser_find("daemon", dir, &u, NULL), PFS_E_INVALID);
	pfs_io_remove_all(AT_FDCWD, dir, NULL);
}
