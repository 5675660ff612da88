/*
 * Feed files, or the files of folders, to a fuzz target: what was found once is
 * tried for ever, with any compiler.
 */
#include "../scratch.h"

#include <dirent.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned replay_file(const char *path)
{
	struct pfs_buf b = PFS_BUF_INIT(64u << 20);
	struct pfs_error err = { 0 };
	unsigned char *exact;

	CHECK(pfs_io_load(AT_FDCWD, path, &b, &err) == 0, "%s: %s", path, err.text);
	/* Memory of exactly this size: a read past the end is seen. */
	exact = malloc(b.len ? b.len : 1);
	CHECK(exact, "no memory");
	memcpy(exact, pfs_buf_str(&b), b.len);
	LLVMFuzzerTestOneInput(exact, b.len);
	free(exact);
	pfs_buf_fini(&b);
	return 1;
}

static unsigned replay(const char *path)
{
	struct dirent *e;
	unsigned n = 0;
	struct stat st;
	DIR *d;

	CHECK(stat(path, &st) == 0, "%s", path);
	if (!S_ISDIR(st.st_mode))
		return replay_file(path);
	d = opendir(path);
	CHECK(d, "%s", path);
	while ((e = readdir(d))) {
		char child[4096];

		if (e->d_name[0] == '.')
			continue;
		snprintf(child, sizeof(child), "%s/%s", path, e->d_name);
		n += replay(child);
	}
	closedir(d);
	return n;
}

int main(int argc, char **argv)
{
	unsigned n = 0;

	for (int i = 1; i < argc; i++)
		n += replay(argv[i]);
	printf("%u inputs\n", n);
	CHECK(n > 0, "no input was given");
	return 0;
}
