/*
 * Who may drive pfsd over TCP: programs of this machine, but no web page.
 *
 * A page from elsewhere can make a browser send requests here, either openly
 * (its Origin tells) or behind a name of its own that resolves to 127.0.0.1
 * (its Host tells). Both headers are checked before anything else happens.
 *
 * Pure. Threads: any.
 */
#ifndef PFS_DAEMON_GUARD_H
#define PFS_DAEMON_GUARD_H

#include "base/error.h"

/*
 * `host` and `origin` are header values, NULL when absent; `listen` is the
 * host part of the listen address. PFS_E_DENIED with a text that says why.
 */
int pfs_guard_check(const char *host, const char *origin, const char *listen,
		    struct pfs_error *err);

/*
 * Take "HOST:PORT" or "[V6]:PORT" apart: host[256] without brackets, the port.
 * PFS_E_INVALID when it is not written like that.
 */
int pfs_guard_split_address(const char *address, char host[256], uint16_t *out_port,
			    struct pfs_error *err);

#endif
