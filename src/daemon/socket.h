/*
 * The sockets pfsd listens on.
 *
 * Threads: any.
 */
#ifndef PFS_DAEMON_SOCKET_H
#define PFS_DAEMON_SOCKET_H

#include "base/error.h"

/*
 * Listen on "HOST:PORT"; the descriptor. Port 0 takes a free one; *out_port is
 * the one taken. PFS_E_DENIED for an address that is not of this machine alone,
 * PFS_E_BUSY when the port is in use.
 */
int pfs_socket_listen_tcp(const char *address, char out_host[256], uint16_t *out_port,
			  struct pfs_error *err);

/*
 * Listen on a path; the descriptor. A socket that a killed process left there
 * is replaced; PFS_E_BUSY when somebody answers on it, PFS_E_EXISTS when what
 * is there is no socket. Only the owner may connect.
 */
int pfs_socket_listen_unix(const char *path, struct pfs_error *err);

/* Tell whoever started us, by $NOTIFY_SOCKET, if it wants to know. */
void pfs_socket_notify(const char *state);
/* The same with descriptors, which it may keep. PFS_E_NOTFOUND: nobody wants to know. */
int pfs_socket_notify_with(const char *state, const int *fds, size_t n, struct pfs_error *err);

#endif
