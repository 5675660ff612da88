/* The spool file of a node: who uses its descriptor, and when it goes. */
#include "workspace/node.h"
#include "base/io.h"
#include "workspace/workspace_i.h"

#include <assert.h>
#include <stdlib.h>

int pfs_spooled_use(struct pfs_node *n, struct pfs_error *err)
{
	struct pfs_spooled *s = n->file.spooled;

	if (s->fd < 0) {
		int fd = pfs_spool_reopen(&n->ws->spool, &s->name, err);

		fd = pfs_spool_spare(fd, err);
		if (fd < 0)
			return fd;
		s->fd = fd;
	}
	s->users++;
	return 0;
}

int pfs_spooled_unuse(struct pfs_node *n)
{
	struct pfs_spooled *s = n->file.spooled;
	int fd;

	assert(s->users > 0);
	if (--s->users)
		return -1;
	fd = s->fd;
	s->fd = -1;
	if (n->file.state == PFS_FILE_CLEAN)
		pfs_spooled_drop(n);
	return fd;
}

void pfs_spooled_drop(struct pfs_node *n)
{
	struct pfs_spooled *s = n->file.spooled;

	assert(s->users == 0);
	n->file.spooled = NULL;
	if (s->journaled)
		n->ws->doomed_bytes += n->file.blocks * 512;
	pfs_workspace_doom(n->ws, &s->name, s->journaled);
	pfs_fd_close(&s->fd);
	free(s);
}
