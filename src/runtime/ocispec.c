#include "runtime/ocispec.h"
#include "runtime/seccomp.h"

#include <stdio.h>
#include <string.h>

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Enough to be root over its own files; not to make devices, raw sockets or new roots. */
static const char *const capabilities[] = {
	"CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FOWNER",  "CAP_FSETID", "CAP_KILL",
	"CAP_SETFCAP", "CAP_SETGID",       "CAP_SETPCAP", "CAP_SETUID", "CAP_NET_BIND_SERVICE",
};

static const char *const masked_paths[] = {
	"/proc/acpi",
	"/proc/asound",
	"/proc/kcore",
	"/proc/keys",
	"/proc/latency_stats",
	"/proc/timer_list",
	"/proc/timer_stats",
	"/proc/sched_debug",
	"/proc/scsi",
	"/sys/firmware",
	"/sys/devices/virtual/powercap",
};

static const char *const readonly_paths[] = {
	"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

struct fixed_mount {
	const char *destination, *type, *source, *options; /* options comma separated */
};

static const struct fixed_mount fixed_mounts[] = {
	{ "/proc", "proc", "proc", "nosuid,noexec,nodev" },
	{ "/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k" },
	{ "/dev/pts", "devpts", "devpts",
	  "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5" },
	{ "/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k" },
	{ "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev" },
	{ "/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro" },
};

static json_t *strings(const char *const *list, size_t n)
{
	json_t *v = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(v, json_string(list[i]));
	return v;
}

static json_t *split_options(const char *text)
{
	json_t *v = json_array();

	while (*text) {
		size_t n = strcspn(text, ",");

		json_array_append_new(v, json_stringn(text, n));
		text += n + (text[n] == ',');
	}
	return v;
}

static json_t *make_mount(const struct fixed_mount *m)
{
	return json_pack("{s:s,s:s,s:s,s:o}", "destination", m->destination, "type", m->type,
			 "source", m->source, "options", split_options(m->options));
}

static int add_mounts(const struct pfs_ocispec *spec, json_t *list, struct pfs_error *err)
{
	for (size_t i = 0; i < sizeof(fixed_mounts) / sizeof(*fixed_mounts); i++)
		json_array_append_new(list, make_mount(&fixed_mounts[i]));
	if (spec->cgroup_v2) {
		static const struct fixed_mount cgroup = { "/sys/fs/cgroup", "cgroup", "cgroup",
							   "ro,nosuid,noexec,nodev" };

		json_array_append_new(list, make_mount(&cgroup));
	}
	for (size_t i = 0; i < spec->run->n_mounts; i++) {
		const struct pfs_run_mount *m = &spec->run->mounts[i];
		const char *options = m->readonly ? "rbind,rslave,nosuid,nodev,ro"
						  : "rbind,rslave,nosuid,nodev,rw";
		const struct fixed_mount bind = { m->target, "bind", m->source, options };
		json_t *v;

		if (m->source[0] != '/' || m->target[0] != '/' || strstr(m->target, ".."))
			return pfs_fail(err, PFS_E_INVALID,
					"mount %s at %s: both must be absolute paths", m->source,
					m->target);
		v = make_mount(&bind);
		if (!v)
			return pfs_fail(err, PFS_E_INVALID, "mount at %s: a path is not UTF-8",
					m->target);
		json_array_append_new(list, v);
	}
	return 0;
}

/* ---- the process ---- */

static size_t key_len(const char *pair)
{
	return strcspn(pair, "=");
}

static bool has_key(const json_t *env, const char *pair, size_t *out_at)
{
	const json_t *v;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)env, i, v)
	{
		const char *other = json_string_value(v);

		if (key_len(other) == key_len(pair) && memcmp(other, pair, key_len(pair)) == 0) {
			*out_at = i;
			return true;
		}
	}
	return false;
}

/* Add or replace "KEY=value". */
static int set_env(json_t *env, const char *pair, struct pfs_error *err)
{
	json_t *v = json_string(pair);
	size_t at;

	if (!v || !strchr(pair, '=') || pair[0] == '=') {
		json_decref(v);
		return pfs_fail(err, PFS_E_INVALID,
				"environment: \"%.100s\" is not KEY=value in UTF-8", pair);
	}
	if (has_key(env, pair, &at))
		json_array_set_new(env, at, v);
	else
		json_array_append_new(env, v);
	return 0;
}

/* The image's, then the user's home, then what the caller says. */
static int add_env(const struct pfs_ocispec *spec, json_t *env, struct pfs_error *err)
{
	char home[300];
	const json_t *v;
	size_t i;
	int rc;

	rc = set_env(env, DEFAULT_PATH, err);
	if (spec->user->home[0] && rc == 0) {
		snprintf(home, sizeof(home), "HOME=%s", spec->user->home);
		rc = set_env(env, home, err);
	}
	json_array_foreach((json_t *)(uintptr_t)spec->image->env, i,
			   v) if (rc == 0 && strchr(json_string_value(v),
						    '=')) /* some images carry bare words */
		rc = set_env(env, json_string_value(v), err);
	for (i = 0; rc == 0 && spec->run->env && spec->run->env[i]; i++)
		rc = set_env(env, spec->run->env[i], err);
	return rc;
}

static int add_args(const struct pfs_ocispec *spec, json_t *args, struct pfs_error *err)
{
	if (spec->run->argv) {
		for (size_t i = 0; spec->run->argv[i]; i++) {
			json_t *v = json_string(spec->run->argv[i]);

			if (!v)
				return pfs_fail(err, PFS_E_INVALID,
						"argument %zu of the command is not UTF-8", i);
			json_array_append_new(args, v);
		}
	} else {
		json_array_extend(args, (json_t *)(uintptr_t)spec->image->entrypoint);
		json_array_extend(args, (json_t *)(uintptr_t)spec->image->cmd);
	}
	if (json_array_size(args) == 0)
		return pfs_fail(err, PFS_E_INVALID, "image %s has no command of its own: give one",
				spec->run->image);
	return 0;
}

static json_t *make_user(const struct pfs_ocispec_user *u)
{
	json_t *groups = json_array();

	for (size_t i = 0; i < u->n_groups; i++)
		json_array_append_new(groups, json_integer(u->groups[i]));
	return json_pack("{s:I,s:I,s:o}", "uid", (json_int_t)u->uid, "gid", (json_int_t)u->gid,
			 "additionalGids", groups);
}

/* The inheritable and ambient sets stay empty: an unprivileged user keeps nothing across exec. */
static json_t *make_capabilities(void)
{
	size_t n = sizeof(capabilities) / sizeof(*capabilities);

	return json_pack("{s:o,s:o,s:o}", "bounding", strings(capabilities, n), "effective",
			 strings(capabilities, n), "permitted", strings(capabilities, n));
}

static int make_process(const struct pfs_ocispec *spec, json_t **out, struct pfs_error *err)
{
	json_t *env = json_array(), *args = json_array();
	const char *cwd = spec->run->cwd ? spec->run->cwd : spec->image->cwd;
	json_int_t nofile = (json_int_t)spec->nofile;
	int rc;

	rc = add_env(spec, env, err);
	if (rc == 0)
		rc = add_args(spec, args, err);
	if (rc == 0 && cwd[0] != '/')
		rc = pfs_fail(err, PFS_E_INVALID, "working directory %s is not absolute", cwd);
	if (rc < 0) {
		json_decref(env);
		json_decref(args);
		return rc;
	}
	*out = json_pack("{s:o,s:o,s:o,s:s,s:b,s:o,s:[{s:s,s:I,s:I}]}", "user",
			 make_user(spec->user), "args", args, "env", env, "cwd", cwd,
			 "noNewPrivileges", 1, "capabilities", make_capabilities(), "rlimits",
			 "type", "RLIMIT_NOFILE", "soft", nofile, "hard", nofile);
	return *out ? 0 : pfs_fail_nomem(err, "a container's process");
}

/* ---- the walls ---- */

static json_t *make_resources(const struct pfs_ocispec *spec)
{
	json_t *v = json_pack("{s:[{s:b,s:s}],s:{s:I}}", "devices", "allow", 0, "access", "rwm",
			      "pids", "limit", (json_int_t)spec->pids_limit);

	/* `swap` counts memory and swap together: equal means no swap. */
	if (spec->memory_limit > 0)
		json_object_set_new(v, "memory",
				    json_pack("{s:I,s:I}", "limit", (json_int_t)spec->memory_limit,
					      "swap", (json_int_t)spec->memory_limit));
	return v;
}

static json_t *make_linux(const struct pfs_ocispec *spec)
{
	json_t *v = json_pack(
		"{s:s,s:s,s:o,s:[{s:s},{s:s},{s:s},{s:s},{s:s}],s:o,s:o,s:o}",
		/* Not left to the runtime: crun's default is private and then ignores rslave. */
		"rootfsPropagation", "rslave", "cgroupsPath", spec->cgroup, "resources",
		make_resources(spec), "namespaces", "type", "pid", "type", "ipc", "type", "uts",
		"type", "mount", "type", "network", "maskedPaths",
		strings(masked_paths, sizeof(masked_paths) / sizeof(*masked_paths)),
		"readonlyPaths",
		strings(readonly_paths, sizeof(readonly_paths) / sizeof(*readonly_paths)),
		"seccomp", pfs_seccomp_json());

	if (v && spec->cgroup_v2)
		json_array_append_new(json_object_get(v, "namespaces"),
				      json_pack("{s:s}", "type", "cgroup"));
	return v;
}

int pfs_ocispec_format(const struct pfs_ocispec *spec, struct pfs_buf *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_json_free) json_t *root = NULL;
	json_t *process = NULL, *mounts = json_array();
	int rc;

	rc = add_mounts(spec, mounts, err);
	if (rc == 0)
		rc = make_process(spec, &process, err);
	if (rc < 0) {
		json_decref(mounts);
		return rc;
	}
	root = json_pack("{s:s,s:o,s:{s:s},s:s,s:o,s:o}", "ociVersion", "1.0.2", "process", process,
			 "root", "path", "rootfs", "hostname", "pfs", "mounts", mounts, "linux",
			 make_linux(spec));
	if (!root)
		return pfs_fail_nomem(err, "a container's spec");
	return pfs_json_format(root, out, err);
}
