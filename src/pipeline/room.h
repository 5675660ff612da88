/*
 * pipeline: which work a commit makes, and what its results add up to.
 *
 * Knows nothing of containers, HTTP or FUSE: a runner comes in through the
 * front door, claims a job and reports. Nothing is kept in memory that a crash
 * could lose; pipelines, jobs and the planner's cursor are rows. Safe from any
 * thread. Start reading at pachfile.h, then pipelines.h, planner.c and job.c;
 * the format is pfs-pipeline(5).
 */
#ifndef PFS_MAY_USE_PIPELINE
#error "pipeline/ is not on this room's line of the floor plan, src/meson.build"
#endif
