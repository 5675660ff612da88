/*
 * What the command line of pfsd says; pfsd(8) has the words.
 *
 * Threads: the first.
 */
#ifndef PFS_DAEMON_OPTIONS_H
#define PFS_DAEMON_OPTIONS_H

#include "daemon/keeper.h"
#include "fuse/fuse.h"

struct pfs_options {
	const char *data, *mount, *listen, *socket;
	const char *log; /* NULL: standard error */
	bool no_mount, background;
	unsigned hold_s; /* so long somebody keeps the mount for the next pfsd; 0: nobody */
	struct pfs_keeper_options keeper;
	struct pfs_fuse_options fuse;
};
#define PFS_OPTIONS_INIT                                                             \
	{                                                                            \
		.data = "/var/lib/pfs", .mount = "/pfs", .listen = "127.0.0.1:6500", \
		.socket = "/run/pfs/pfsd.sock", .keeper = PFS_KEEPER_OPTIONS_INIT,   \
		.fuse = PFS_FUSE_OPTIONS_INIT                                        \
	}

/*
 * Fill `o`; its texts are those of argv. --help and --version print and exit.
 * When something makes no sense it is said, and the process exits with 2.
 */
void pfs_options_parse(int argc, char **argv, struct pfs_options *o);

#endif
