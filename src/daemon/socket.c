#include "daemon/socket.h"
#include "daemon/guard.h"
#include "base/io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 512

static bool is_loopback(const struct sockaddr *a)
{
	const struct sockaddr_in *v4 = (const void *)a;
	const struct sockaddr_in6 *v6 = (const void *)a;

	if (a->sa_family == AF_INET)
		return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
	return a->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

static int find_address(const char *host, uint16_t port, struct sockaddr_storage *out,
			socklen_t *out_len, struct pfs_error *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	struct addrinfo *found;
	char service[8];
	int gai, rc = 0;

	snprintf(service, sizeof(service), "%u", port);
	/* The name every machine has for itself needs no resolver. */
	gai = getaddrinfo(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, service, &hints,
			  &found);
	if (gai != 0)
		return pfs_fail(err, PFS_E_INVALID, "listen address %s: %s", host,
				gai_strerror(gai));
	memcpy(out, found->ai_addr, found->ai_addrlen);
	*out_len = found->ai_addrlen;
	if (!is_loopback(found->ai_addr))
		rc = pfs_fail(err, PFS_E_DENIED,
			      "listen address %s can be reached from other machines, and whoever "
			      "connects may do everything: use 127.0.0.1:%u, and ssh -L from there",
			      host, port);
	freeaddrinfo(found);
	return rc;
}

static int take_port(int fd, uint16_t *out, struct pfs_error *err)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);

	if (getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		return pfs_fail_errno(err, errno, "the port of a socket");
	*out = ntohs(a.ss_family == AF_INET ? ((struct sockaddr_in *)(void *)&a)->sin_port
					    : ((struct sockaddr_in6 *)(void *)&a)->sin6_port);
	return 0;
}

int pfs_socket_listen_tcp(const char *address, char out_host[256], uint16_t *out_port,
			  struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = -1;
	struct sockaddr_storage a;
	socklen_t len = 0;
	uint16_t port;
	int rc, on = 1;

	rc = pfs_guard_split_address(address, out_host, &port, err);
	if (rc == 0)
		rc = find_address(out_host, port, &a, &len, err);
	if (rc < 0)
		return rc;
	fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return pfs_fail_errno(err, errno, "a socket for %s", address);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, BACKLOG) < 0) {
		if (errno == EADDRINUSE)
			return pfs_fail(
				err, PFS_E_BUSY,
				"port %u is in use: is another pfsd running? choose another "
				"with --listen",
				port);
		return pfs_fail_errno(err, errno, "listen on %s", address);
	}
	rc = take_port(fd, out_port, err);
	if (rc < 0)
		return rc;
	rc = fd;
	fd = -1;
	return rc;
}

static int make_address(const char *path, struct sockaddr_un *out, struct pfs_error *err)
{
	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(out->sun_path))
		return pfs_fail(err, PFS_E_NAMETOOLONG,
				"socket path %s has %zu bytes, at most %zu fit", path, strlen(path),
				sizeof(out->sun_path) - 1);
	strcpy(out->sun_path, path);
	return 0;
}

/* Away with a socket on which nobody answers. */
static int clear_stale(const struct sockaddr_un *a, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = -1;
	struct stat st;

	if (lstat(a->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : pfs_fail_errno(err, errno, "socket %s", a->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return pfs_fail(err, PFS_E_EXISTS, "%s is there and is no socket", a->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return pfs_fail_errno(err, errno, "a unix socket");
	if (connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 || errno == EAGAIN)
		return pfs_fail(err, PFS_E_BUSY,
				"somebody answers on %s: is another pfsd running? choose another "
				"with --socket",
				a->sun_path);
	if (errno != ECONNREFUSED)
		return pfs_fail_errno(err, errno, "socket %s", a->sun_path);
	if (unlink(a->sun_path) < 0 && errno != ENOENT)
		return pfs_fail_errno(err, errno, "remove stale socket %s", a->sun_path);
	return 0;
}

int pfs_socket_listen_unix(const char *path, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = -1;
	struct sockaddr_un a;
	mode_t mask;
	int rc;

	rc = make_address(path, &a, err);
	if (rc == 0)
		rc = clear_stale(&a, err);
	if (rc < 0)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return pfs_fail_errno(err, errno, "a unix socket");
	/* Before other threads exist, so nobody else's files get this mask. */
	mask = umask(0177);
	rc = bind(fd, (struct sockaddr *)&a, sizeof(a));
	if (rc < 0)
		rc = pfs_fail_errno(err, errno, "listen on %s", path);
	umask(mask);
	if (rc == 0 && listen(fd, BACKLOG) < 0)
		rc = pfs_fail_errno(err, errno, "listen on %s", path);
	if (rc < 0)
		return rc;
	rc = fd;
	fd = -1;
	return rc;
}

#define NOTIFY_FDS_MAX 4u

static void attach(struct msghdr *m, struct cmsghdr *control, const int *fds, size_t n)
{
	if (!n)
		return;
	m->msg_control = control;
	m->msg_controllen = CMSG_SPACE(n * sizeof(*fds));
	control->cmsg_level = SOL_SOCKET;
	control->cmsg_type = SCM_RIGHTS;
	control->cmsg_len = CMSG_LEN(n * sizeof(*fds));
	memcpy(CMSG_DATA(control), fds, n * sizeof(*fds));
}

int pfs_socket_notify_with(const char *state, const int *fds, size_t n, struct pfs_error *err)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(NOTIFY_FDS_MAX * sizeof(int))];
	} control = { 0 };
	const char *path = getenv("NOTIFY_SOCKET");
	PFS_AUTO(pfs_fd_close) int fd = -1;
	struct iovec text = { (void *)(uintptr_t)state, strlen(state) };
	struct sockaddr_un a;
	struct msghdr m = { .msg_name = &a, .msg_iov = &text, .msg_iovlen = 1 };
	size_t len = path ? strlen(path) : 0;

	if (len == 0 || (path[0] != '/' && path[0] != '@') || make_address(path, &a, NULL) < 0 ||
	    n > NOTIFY_FDS_MAX)
		return pfs_fail(err, PFS_E_NOTFOUND, "no service manager wants to know");
	if (a.sun_path[0] == '@')
		a.sun_path[0] = 0;
	m.msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	attach(&m, &control.head, fds, n);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendmsg(fd, &m, MSG_NOSIGNAL) < 0)
		return pfs_fail_errno(err, errno, "tell the service manager");
	return 0;
}

void pfs_socket_notify(const char *state)
{
	pfs_socket_notify_with(state, NULL, 0, NULL);
}
