#include "runtime/seccomp.h"

#include <errno.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>

#define NUMBERS_MAX 1024 /* far past the highest system call in use */

/* Clone flags that make a new namespace. */
#define CLONE_NAMESPACES 0x7E020000

/* What reaches past the container: mounts, modules, clocks, keys, other processes' memory, the machine. */
static const char *const denied[] = {
	"_sysctl",
	"acct",
	"add_key",
	"afs_syscall",
	"bdflush",
	"bpf",
	"clock_settime",
	"clock_settime64",
	"clone",
	"clone3",
	"create_module",
	"delete_module",
	"fanotify_init",
	"finit_module",
	"fsconfig",
	"fsmount",
	"fsopen",
	"fspick",
	"get_kernel_syms",
	"get_mempolicy",
	"getpmsg",
	"idle",
	"init_module",
	"io_uring_enter",
	"io_uring_register",
	"io_uring_setup",
	"ioperm",
	"iopl",
	"kcmp",
	"kexec_file_load",
	"kexec_load",
	"keyctl",
	"lookup_dcookie",
	"mbind",
	"migrate_pages",
	"mount",
	"mount_setattr",
	"move_mount",
	"move_pages",
	"name_to_handle_at",
	"nfsservctl",
	"open_by_handle_at",
	"open_tree",
	"perf_event_open",
	"personality",
	"pidfd_getfd",
	"pivot_root",
	"process_madvise",
	"process_vm_readv",
	"process_vm_writev",
	"putpmsg",
	"query_module",
	"quotactl",
	"quotactl_fd",
	"reboot",
	"request_key",
	"security",
	"set_mempolicy",
	"set_mempolicy_home_node",
	"setdomainname",
	"sethostname",
	"setns",
	"settimeofday",
	"stime",
	"swapoff",
	"swapon",
	"sysfs",
	"syslog",
	"tuxcall",
	"umount",
	"umount2",
	"unshare",
	"uselib",
	"userfaultfd",
	"ustat",
	"vhangup",
	"vm86",
	"vm86old",
	"vserver",
};

static bool is_denied(const char *name)
{
	for (size_t i = 0; i < sizeof(denied) / sizeof(*denied); i++)
		if (strcmp(denied[i], name) == 0)
			return true;
	return false;
}

static void add_known(json_t *names, uint32_t arch, uint32_t but_not)
{
	for (int nr = 0; nr < NUMBERS_MAX; nr++) {
		char *name = seccomp_syscall_resolve_num_arch(arch, nr);

		/* A name that both have is added once. */
		if (name && !is_denied(name) &&
		    (but_not == 0 || seccomp_syscall_resolve_name_arch(but_not, name) < 0))
			json_array_append_new(names, json_string(name));
		free(name);
	}
}

/* Our architecture, and the 32-bit one whose programs the kernel runs as well. */
static json_t *allowed_names(void)
{
	json_t *names = json_array();

	add_known(names, seccomp_arch_native(), 0);
#if defined(__x86_64__)
	add_known(names, SCMP_ARCH_X86, SCMP_ARCH_X86_64);
#elif defined(__aarch64__)
	add_known(names, SCMP_ARCH_ARM, SCMP_ARCH_AARCH64);
#endif
	return names;
}

static json_t *architectures(void)
{
#if defined(__x86_64__)
	return json_pack("[s,s,s]", "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32");
#elif defined(__aarch64__)
	return json_pack("[s,s]", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM");
#elif defined(__riscv)
	return json_pack("[s]", "SCMP_ARCH_RISCV64");
#elif defined(__s390x__)
	return json_pack("[s]", "SCMP_ARCH_S390X");
#else
	return json_pack("[s]", "SCMP_ARCH_PPC64LE");
#endif
}

/* personality(2) only to ask, and for the harmless ones: Linux, 32 bits, with or without UNAME26. */
static void add_personality(json_t *rules)
{
	static const json_int_t values[] = { 0, 8, 0x20000, 0x20008, 0xffffffff };

	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
		json_array_append_new(rules, json_pack("{s:[s],s:s,s:[{s:i,s:I,s:s}]}", "names",
						       "personality", "action", "SCMP_ACT_ALLOW",
						       "args", "index", 0, "value", values[i], "op",
						       "SCMP_CMP_EQ"));
}

json_t *pfs_seccomp_json(void)
{
	json_t *rules = json_array();

	json_array_append_new(rules, json_pack("{s:o,s:s}", "names", allowed_names(), "action",
					       "SCMP_ACT_ALLOW"));
	add_personality(rules);
	json_array_append_new(rules, json_pack("{s:[s],s:s,s:[{s:i,s:I,s:I,s:s}]}", "names",
					       "clone", "action", "SCMP_ACT_ALLOW", "args", "index",
					       0, "value", (json_int_t)CLONE_NAMESPACES, "valueTwo",
					       (json_int_t)0, "op", "SCMP_CMP_MASKED_EQ"));
	/* Its flags lie in memory where no filter looks; without it libc falls back to clone. */
	json_array_append_new(rules, json_pack("{s:[s],s:s,s:i}", "names", "clone3", "action",
					       "SCMP_ACT_ERRNO", "errnoRet", ENOSYS));
	return json_pack("{s:s,s:o,s:o}", "defaultAction", "SCMP_ACT_ERRNO", "architectures",
			 architectures(), "syscalls", rules);
}
