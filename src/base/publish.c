#include "base/publish.h"
#include "base/fault.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int write_temporary(int dir, const char *temp, const void *data, size_t len, mode_t mode,
			   struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close)
	int fd = pfs_io_open(dir, temp, O_WRONLY | O_CREAT | O_TRUNC, mode, err);
	int rc = fd;

	if (rc >= 0)
		rc = pfs_io_write(fd, data, len, err);
	if (rc == 0)
		rc = pfs_io_fsync(fd, temp, err);
	return rc;
}

int pfs_publish(int dir, const char *name, const void *data, size_t len, mode_t mode,
		struct pfs_error *err)
{
	char temp[PATH_MAX];
	int rc;

	if (snprintf(temp, sizeof(temp), "%s.new", name) >= (int)sizeof(temp))
		return pfs_fail(err, PFS_E_NAMETOOLONG, "publish a name of %zu bytes",
				strlen(name));
	rc = write_temporary(dir, temp, data, len, mode, err);
	if (rc == 0)
		rc = pfs_fault("publish.rename", err);
	if (rc == 0 && renameat(dir, temp, dir, name) < 0)
		rc = pfs_fail_errno(err, errno, "rename %s", temp);
	if (rc < 0) {
		unlinkat(dir, temp, 0);
		return pfs_wrap(err, rc, "publish %s", name);
	}
	return pfs_io_sync_folder(dir, name, err);
}
