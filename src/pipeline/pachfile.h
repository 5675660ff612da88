/*
 * The text of a pipeline, pfs-pipeline(5): what to mount, what to run.
 *
 *	image busybox
 *	input text
 *	run sort /in/text/moby > /out/sorted
 *
 * Pure: no I/O, and the whole text is checked before a caller sees any of it.
 *
 * Threads: any; a value belongs to its owner.
 */
#ifndef PFS_PIPELINE_PACHFILE_H
#define PFS_PIPELINE_PACHFILE_H

#include "pipeline/room.h"
#include "base/error.h"

struct pfs_pachfile_step {
	char *image;
	char *line;           /* what the shell gets, exactly as written after the keyword */
	unsigned line_number; /* from 1 */
};

enum pfs_pachfile_input_kind {
	PFS_PACHFILE_DIRECTORY, /* `path` of the commit */
	PFS_PACHFILE_PIPELINE,  /* what pipeline `name` made of the commit; `path` is "" */
};

struct pfs_pachfile_input {
	enum pfs_pachfile_input_kind kind;
	char *name; /* below /in; normalized */
	char *path;
	unsigned line_number;
};

struct pfs_pachfile {
	struct pfs_pachfile_step *steps; /* owned, as all below */
	size_t n_steps;
	struct pfs_pachfile_input *inputs;
	size_t n_inputs;
};

/*
 * PFS_E_INVALID, PFS_E_LIMIT, or PFS_E_UNSUPPORTED for what the language has
 * and we do not do yet. The text says which line, which word, what is allowed.
 */
int pfs_pachfile_parse(const char *text, size_t len, struct pfs_pachfile *out,
		       struct pfs_error *err);
void pfs_pachfile_fini(struct pfs_pachfile *p); /* safe on zeroes and twice */

#endif
