#include "runner/job.h"
#include "base/limits.h"

#include <stdlib.h>

#define MOUNTS_MAX   (PFS_PACHFILE_INPUTS_MAX + 8)
#define ENV_MAX      1024
#define LEASE_MIN_MS 1000
#define LEASE_MAX_MS 3600000

void job_fini(struct job *j)
{
	pfs_json_free(&j->json);
	free(j->steps);
	free(j->mounts);
	free(j->env);
	j->steps = NULL;
	j->mounts = NULL;
	j->env = NULL;
}

static int need(const json_t *object, const char *key, const char **out, struct pfs_error *err)
{
	*out = pfs_json_str(object, key);
	if (!*out || !(*out)[0])
		return pfs_fail(err, PFS_E_INVALID, "a claim without \"%s\"", key);
	return 0;
}

static int parse_steps(struct job *j, struct pfs_error *err)
{
	const json_t *list = json_object_get(j->json, "steps");
	size_t n = json_array_size(list);
	int rc = 0;

	if (n == 0 || n > PFS_PACHFILE_STEPS_MAX)
		return pfs_fail(err, PFS_E_INVALID, "a claim of %zu steps, 1 to %u can be run", n,
				PFS_PACHFILE_STEPS_MAX);
	j->steps = calloc(n, sizeof(*j->steps));
	if (!j->steps)
		return pfs_fail_nomem(err, "a job");
	for (; j->n_steps < n && rc == 0; j->n_steps++) {
		const json_t *v = json_array_get(list, j->n_steps);

		rc = need(v, "image", &j->steps[j->n_steps].image, err);
		if (rc == 0)
			rc = need(v, "line", &j->steps[j->n_steps].line, err);
	}
	return rc;
}

static int parse_mounts(struct job *j, struct pfs_error *err)
{
	const json_t *list = json_object_get(j->json, "mounts");
	size_t n = json_array_size(list);
	int rc = 0;

	if (n > MOUNTS_MAX)
		return pfs_fail(err, PFS_E_INVALID, "a claim of %zu mounts, at most %u", n,
				MOUNTS_MAX);
	j->mounts = calloc(n + 1, sizeof(*j->mounts));
	if (!j->mounts)
		return pfs_fail_nomem(err, "a job");
	for (; j->n_mounts < n && rc == 0; j->n_mounts++) {
		const json_t *v = json_array_get(list, j->n_mounts);
		struct pfs_run_mount *m = &j->mounts[j->n_mounts];

		rc = need(v, "source", &m->source, err);
		if (rc == 0)
			rc = need(v, "target", &m->target, err);
		/* What is not said to be writable is not. */
		m->readonly = !json_is_false(json_object_get(v, "readonly"));
	}
	return rc;
}

static int parse_env(struct job *j, struct pfs_error *err)
{
	const json_t *list = json_object_get(j->json, "env");
	size_t n = json_array_size(list);

	if (n > ENV_MAX)
		return pfs_fail(err, PFS_E_INVALID, "a claim of %zu variables, at most %d", n,
				ENV_MAX);
	j->env = calloc(n + 1, sizeof(*j->env));
	if (!j->env)
		return pfs_fail_nomem(err, "a job");
	for (size_t i = 0; i < n; i++) {
		j->env[i] = json_string_value(json_array_get(list, i));
		if (!j->env[i])
			return pfs_fail(err, PFS_E_INVALID, "variable %zu of a claim is no text",
					i);
	}
	return 0;
}

int job_parse(json_t **json, struct job *out, struct pfs_error *err)
{
	PFS_AUTO(job_fini) struct job j = { .json = *json };
	int rc;

	*json = NULL;
	rc = need(j.json, "pipeline", &j.name.pipeline, err);
	if (rc == 0)
		rc = need(j.json, "id", &j.name.id, err);
	j.name.attempt = pfs_json_int(j.json, "attempt", 1);
	j.lease_ms = pfs_json_int(j.json, "lease_ms", 0);
	if (rc == 0 && (j.lease_ms < LEASE_MIN_MS || j.lease_ms > LEASE_MAX_MS))
		rc = pfs_fail(err, PFS_E_INVALID, "a claim with a lease of %lld ms",
			      (long long)j.lease_ms);
	if (rc == 0)
		rc = parse_steps(&j, err);
	if (rc == 0)
		rc = parse_mounts(&j, err);
	if (rc == 0)
		rc = parse_env(&j, err);
	if (rc < 0)
		return rc;
	*out = j;
	j = (struct job){ 0 };
	return 0;
}
