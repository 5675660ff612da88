#include "runtime/host.h"
#include "base/io.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/un.h>
#include <unistd.h>

int64_t pfs_host_memory_limit(int64_t wanted)
{
	int64_t pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
	int64_t most = pages > 0 && size > 0 ? pages * size / 8 * 7 : wanted;

	return wanted < most ? wanted : most;
}

/* Who listens there; 0 unknown. */
static pid_t find_listener(const char *path)
{
	PFS_AUTO(pfs_fd_close)
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);

	if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
		return 0;
	strcpy(address.sun_path, path);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return 0;
	return peer.pid;
}

uint64_t pfs_host_nofile_limit(const char *socket, uint64_t wanted)
{
	pid_t pid = find_listener(socket);
	struct rlimit limit;

	/* A daemon started by socket activation shows its starter: that one's limit is as good a guess. */
	if (prlimit(pid, RLIMIT_NOFILE, NULL, &limit) < 0 &&
	    prlimit(0, RLIMIT_NOFILE, NULL, &limit) < 0)
		return wanted < 1024 ? wanted : 1024;
	return limit.rlim_max < wanted ? limit.rlim_max : wanted;
}

bool pfs_host_has_cgroup_v2(void)
{
	struct statfs fs;

	return statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

bool pfs_host_oom_killed(const char *id)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf text = PFS_BUF_INIT(4096);
	const char *count;
	char path[256];

	snprintf(path, sizeof(path),
		 pfs_host_has_cgroup_v2() ? "/sys/fs/cgroup/pfs/%s/memory.events"
					  : "/sys/fs/cgroup/memory/pfs/%s/memory.oom_control",
		 id);
	if (pfs_io_load(AT_FDCWD, path, &text, NULL) < 0)
		return false;
	count = strstr(pfs_buf_str(&text), "oom_kill ");
	return count && strtoull(count + 9, NULL, 10) > 0;
}
