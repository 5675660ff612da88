/*
 * Every maximum in the system, with the reason beside the number. Reaching one
 * is PFS_E_LIMIT (or the POSIX code) with both numbers in the text.
 */
#ifndef PFS_BASE_LIMITS_H
#define PFS_BASE_LIMITS_H

#include "base/room.h"

#define PFS_NAME_SIZE_MAX    255u  /* bytes of one path component: NAME_MAX of the kernel */
#define PFS_PATH_SIZE_MAX    4095u /* bytes of a path: PATH_MAX less its terminator */
#define PFS_SYMLINK_SIZE_MAX 4095u /* what readlink(2) can hand back */
#define PFS_REPO_NAME_MAX    63u   /* as the repositories of the ancestor */
#define PFS_BRANCH_NAME_MAX  63u
#define PFS_REPOS_MAX        100000u /* one listing of the root stays a listing */
#define PFS_BRANCHES_MAX     10000u  /* of one repo, likewise */
#define PFS_PROVENANCE_MAX   1024u   /* sources of one commit; far above a pipeline's inputs */
#define PFS_WORKSPACES_IDLE_MAX \
	32u /* kept open though nobody looks: each has a journal and its names */
#define PFS_MESSAGE_SIZE_MAX 65536u       /* a commit message; one row, one control-file write */
#define PFS_FILE_SIZE_MAX    (1ULL << 46) /* 64 TiB: six levels of sequence nodes */
#define PFS_XATTR_VALUE_MAX  65536u       /* XATTR_SIZE_MAX of the kernel */
#define PFS_XATTR_NAMES_MAX  65536u       /* XATTR_LIST_MAX: what listxattr(2) can hand back */
#define PFS_INLINE_SIZE_MAX  256u         /* content kept in the directory entry itself */
#define PFS_TREE_LEVEL_MAX   12u          /* far above what 2^46 bytes or 2^40 names need */
#define PFS_TREE_DEPTH_MAX   2048u        /* components of a path */
#define PFS_MERGE_PENDING_MAX \
	8192u /* changes a merge keeps before it applies them: 4 MiB and their names */
#define PFS_LINKS_MAX \
	(1u << 20) /* names of files with several that one settling keeps in memory: 200 MiB */
#define PFS_FILE_NAMES_MAX    65000u /* of one file in a workspace, as of ext4: they are in memory together */
#define PFS_FSCK_PATHS_MAX    10000u /* paths that one fsck tells of by name; more are counted */
#define PFS_OBJECT_SIZE_MAX   (1u << 20) /* one stored object; chunks end at 256 KiB */
#define PFS_PACK_SIZE_MAX     (1ULL << 30)
#define PFS_ADOPTION_SIZE_MAX (1ULL << 40) /* an offset in a file that is a pack has 40 bits */
#define PFS_ADOPTION_CHUNKS_MAX \
	(4u << 20) /* their table is in memory until it is written: 192 to 288 MiB */
#define PFS_PACKS_MAX      (1u << 26) /* numbers ever given to packs: 4 PiB in packs of 64 MiB */
#define PFS_INDEX_BATCH    (1u << 18) /* objects kept in memory before they go into a run: 15 MB */
#define PFS_DOUBTS_MAX     (1u << 14) /* damaged objects that are remembered: a file of 0.9 MB */
#define PFS_INDEX_RUNS_MAX 1024u      /* far above what merging leaves */
#define PFS_BUNDLE_SIZE_MAX \
	(64u << 10) /* bytes of small objects kept together: read for any of them */
#define PFS_BUNDLE_MEMBERS_MAX 1024u
#define PFS_PATCHED_SIZE_MIN \
	(1u << 20) /* smaller committed files are copied when they are opened for writing */
#define PFS_SHARED_SIZE_MIN \
	(1u << 20) /* copies of smaller files are not worth that the kernel passes nothing through to them */
#define PFS_SPARSE_SIZE_MIN \
	(4u << 20) /* to tell how much room they take, holes are looked for in files from here on */
#define PFS_LENT_SIZE_MIN \
	(16u              \
	 << 20) /* new files from here on are taken in by the store as they are, for later to compress */
#define PFS_LOCAL_READ_MAX (4u << 20) /* read by who asks for a local file: some ms of an open */
#define PFS_PATCHED_RANGES_MAX \
	16384u /* of one file, 24 bytes each; from some 20000 on chunking all of it is cheaper */
#define PFS_SPARE_FILES_MAX \
	2048u /* descriptors that open files leave to all else; a quarter of few */
#define PFS_SWEEP_OBJECTS_MAX \
	(3u << 20)                   /* marked at a time: 60 MB; a larger store is swept in parts */
#define PFS_PACK_OPEN_MAX       256u /* descriptors kept for reading: a quarter of the usual 1024 */
#define PFS_POOL_THREADS_MAX    15u  /* helpers of one pool: a disk is fed by fewer */
#define PFS_PACHFILE_SIZE_MAX   (256u * 1024) /* a program, not data */
#define PFS_PACHFILE_STEPS_MAX  1024u
#define PFS_PACHFILE_INPUTS_MAX 64u
#define PFS_LOG_SIZE_MAX        (64ULL << 20) /* kept of one job's output; the rest is dropped, and said */
#define PFS_IMAGE_NAME_MAX      512u     /* above what a registry's name, tag and digest come to */
#define PFS_LEASE_MS_MAX        86400000 /* a day: longer without a sign of life is nobody's plan */
#define PFS_JOB_ATTEMPTS_MAX \
	16u /* a job that loses every runner must not block its pipeline for ever */
#define PFS_PIPELINES_MAX        10000u
#define PFS_HTTP_HEADER_MAX      (64u * 1024)
#define PFS_HTTP_JSON_MAX        (4u << 20) /* a JSON body we parse, never a file */
#define PFS_HTTP_CONNECTIONS_MAX 512u
#define PFS_GRPC_MESSAGE_MAX     (16u << 20) /* what containerd takes and sends */

#endif
