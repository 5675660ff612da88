/*
 * Any bytes as a Pachfile: parsed or refused with a reason, and what was parsed
 * says the same when it is written down and parsed again.
 */
#include "pipeline/pachfile.h"

#include "base/buf.h"
#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void insist(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz_pachfile: %s\n", what);
	abort();
}

/* Each line continued into an empty one: a command or a name may itself end in a backslash. */
static void write_down(const struct pfs_pachfile *p, struct pfs_buf *out)
{
	for (size_t i = 0; i < p->n_inputs; i++)
		pfs_buf_printf(out, NULL, "input %s%s \\\n\n",
			       p->inputs[i].kind == PFS_PACHFILE_PIPELINE ? "pps://" : "",
			       p->inputs[i].name);
	for (size_t i = 0; i < p->n_steps; i++)
		pfs_buf_printf(out, NULL, "image %s\nrun %s \\\n\n", p->steps[i].image,
			       p->steps[i].line);
}

static bool climbs(const char *name)
{
	char framed[PFS_PATH_SIZE_MAX + 3];

	snprintf(framed, sizeof(framed), "/%s/", name);
	return strstr(framed, "//") || strstr(framed, "/./") || strstr(framed, "/../");
}

static void compare(const struct pfs_pachfile *a, const struct pfs_pachfile *b)
{
	insist(a->n_inputs == b->n_inputs && a->n_steps == b->n_steps, "other counts");
	for (size_t i = 0; i < a->n_inputs; i++) {
		insist(a->inputs[i].kind == b->inputs[i].kind, "another kind");
		insist(strcmp(a->inputs[i].name, b->inputs[i].name) == 0, "another name");
		insist(strcmp(a->inputs[i].path, b->inputs[i].path) == 0, "another path");
		insist(!climbs(a->inputs[i].name), "a name that climbs");
	}
	for (size_t i = 0; i < a->n_steps; i++) {
		insist(strcmp(a->steps[i].image, b->steps[i].image) == 0, "another image");
		insist(strcmp(a->steps[i].line, b->steps[i].line) == 0, "another line");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pfs_buf text = PFS_BUF_INIT(1u << 30);
	struct pfs_pachfile p = { 0 }, again = { 0 };
	struct pfs_error err = { 0 };
	int rc;

	rc = pfs_pachfile_parse((const char *)data, size, &p, &err);
	insist(rc <= 0 && (rc == 0 || (err.code == rc && err.text[0])), "no reason");
	insist(rc == 0 || (!p.steps && !p.inputs), "wrote to out");
	if (rc == 0) {
		write_down(&p, &text);
		rc = pfs_pachfile_parse(pfs_buf_str(&text), text.len, &again, &err);
		/* An image for every line may pass the limit that it did not pass once. */
		insist(rc == 0 || (rc == PFS_E_LIMIT && text.len > PFS_PACHFILE_SIZE_MAX),
		       "not its own language");
		if (rc == 0)
			compare(&p, &again);
	}
	pfs_pachfile_fini(&again);
	pfs_pachfile_fini(&p);
	pfs_buf_fini(&text);
	return 0;
}
