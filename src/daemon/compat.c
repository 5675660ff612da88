/*
 * Routes of old servers that have another meaning here, or none.
 */
#include "daemon/route.h"

int route_compat_post(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	return pfs_fail(
		err, PFS_E_UNSUPPORTED,
		"MapReduce jobs are not served: write job \"%s\" as a Pachfile and POST it to "
		"/pipeline/%s",
		rq->captures[0], rq->captures[0]);
}

int route_compat_job(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	return pfs_fail(err, PFS_E_UNSUPPORTED,
			"MapReduce jobs are not served: the jobs of pipeline \"%s\" are at "
			"/job?pipeline=%s, one is at /job/%s/<commit>, its output at "
			"/pipeline/%s/file/*",
			rq->captures[0], rq->captures[0], rq->captures[0], rq->captures[0]);
}
