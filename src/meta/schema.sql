-- The tables of pfs-metadata(5). Every statement ends a line with its
-- semicolon: embed.sed makes one C string of each. Plural names, since COMMIT
-- is a word of SQL.
--
-- All of these are facts. Only indexes can be rebuilt.

-- The top names of an instance. An id is never used again.
CREATE TABLE repos (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	name       TEXT NOT NULL UNIQUE,
	owner      TEXT NOT NULL DEFAULT '',  -- the pipeline whose output it is
	created_ns INTEGER NOT NULL
) STRICT;

-- A name for a head commit, and the folder of what changed since.
CREATE TABLE branches (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	repo       INTEGER NOT NULL REFERENCES repos(id) ON DELETE CASCADE,
	name       TEXT NOT NULL,
	head       BLOB,                      -- NULL: nothing was committed yet
	folder     TEXT NOT NULL UNIQUE,      -- below workspaces/
	owner      TEXT NOT NULL DEFAULT '',  -- the pipeline that alone may write it
	created_ns INTEGER NOT NULL,
	UNIQUE (repo, name),
	FOREIGN KEY (head, repo) REFERENCES commits(id, repo)
) STRICT;

-- Commits: a copy of the record in the store (pfs-commit(5)) and its place in
-- the order of all commits. The parent is checked when a row is added, and
-- commits go with their repo only, so it needs no key of its own.
CREATE TABLE commits (
	seq             INTEGER PRIMARY KEY AUTOINCREMENT,
	repo            INTEGER NOT NULL REFERENCES repos(id) ON DELETE CASCADE,
	id              BLOB NOT NULL CHECK (length(id) = 16),
	branch          TEXT NOT NULL,             -- where it was made; the branch may be gone
	number          INTEGER NOT NULL,          -- the parent's plus 1, from 1
	parent          BLOB CHECK (length(parent) = 16),
	origin          INTEGER NOT NULL,
	started_ns      INTEGER NOT NULL,
	finished_ns     INTEGER NOT NULL,
	root            BLOB NOT NULL CHECK (length(root) = 32),
	root_mode       INTEGER NOT NULL,
	root_uid        INTEGER NOT NULL,
	root_gid        INTEGER NOT NULL,
	root_mtime_sec  INTEGER NOT NULL,
	root_mtime_nsec INTEGER NOT NULL,
	digest          BLOB NOT NULL CHECK (length(digest) = 32),
	files           INTEGER NOT NULL,
	bytes           INTEGER NOT NULL,
	message         TEXT NOT NULL,
	error           TEXT,                      -- NULL: all is well
	UNIQUE (id, repo)
) STRICT;
CREATE INDEX commits_by_repo ON commits (repo, seq);

-- What a commit was computed from. The other side is a name, because its repo
-- may be deleted and the fact stays true.
CREATE TABLE provenance (
	id      BLOB NOT NULL,
	repo    INTEGER NOT NULL,
	on_repo TEXT NOT NULL,
	on_id   BLOB NOT NULL CHECK (length(on_id) = 16),
	PRIMARY KEY (id, repo, on_repo, on_id),
	FOREIGN KEY (id, repo) REFERENCES commits(id, repo) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX provenance_back ON provenance (on_id, on_repo);

-- What happened, written in the transaction that did it.
CREATE TABLE events (
	number    INTEGER PRIMARY KEY AUTOINCREMENT,
	kind      TEXT NOT NULL,
	repo      TEXT NOT NULL,                   -- or the pipeline
	branch    TEXT NOT NULL,
	commit_id BLOB CHECK (length(commit_id) = 16),
	time_ns   INTEGER NOT NULL
) STRICT;

-- How far a reader of events has come.
CREATE TABLE cursors (
	name   TEXT PRIMARY KEY,
	number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Pipelines; the output repo bears the pipeline's name.
CREATE TABLE pipelines (
	name       TEXT PRIMARY KEY,
	repo       TEXT NOT NULL,                  -- whose commits start it
	branch     TEXT NOT NULL,
	version    INTEGER NOT NULL,
	created_ns INTEGER NOT NULL,
	updated_ns INTEGER NOT NULL,
	text       TEXT NOT NULL
) STRICT;
CREATE INDEX pipelines_by_input ON pipelines (repo, branch);

-- Every text a pipeline ever had, the present one among them: what a job ran
-- stays known.
CREATE TABLE pipeline_versions (
	pipeline TEXT NOT NULL REFERENCES pipelines(name) ON DELETE CASCADE,
	version  INTEGER NOT NULL,
	text     TEXT NOT NULL,
	PRIMARY KEY (pipeline, version)
) STRICT, WITHOUT ROWID;

-- Which pipelines' output a pipeline reads. No cascade on the upstream side:
-- what is read cannot be deleted.
CREATE TABLE pipeline_inputs (
	pipeline TEXT NOT NULL REFERENCES pipelines(name) ON DELETE CASCADE,
	upstream TEXT NOT NULL REFERENCES pipelines(name),
	PRIMARY KEY (pipeline, upstream)
) STRICT, WITHOUT ROWID;
CREATE INDEX pipeline_inputs_back ON pipeline_inputs (upstream);

-- One run of a pipeline for one commit; unfinished while finished_ns is 0.
CREATE TABLE jobs (
	number         INTEGER PRIMARY KEY AUTOINCREMENT,
	pipeline       TEXT NOT NULL REFERENCES pipelines(name) ON DELETE CASCADE,
	id             BLOB NOT NULL CHECK (length(id) = 16),
	version        INTEGER NOT NULL,
	state          INTEGER NOT NULL,
	attempt        INTEGER NOT NULL,
	repo           TEXT NOT NULL,
	branch         TEXT NOT NULL,
	runner         TEXT NOT NULL,
	lease_until_ns INTEGER NOT NULL,
	created_ns     INTEGER NOT NULL,
	started_ns     INTEGER NOT NULL,
	finished_ns    INTEGER NOT NULL,
	reason         TEXT NOT NULL,
	UNIQUE (pipeline, id)
) STRICT;
CREATE INDEX jobs_by_pipeline ON jobs (pipeline, number);
CREATE INDEX jobs_unfinished ON jobs (pipeline, number) WHERE finished_ns = 0;
CREATE INDEX jobs_by_id ON jobs (id);
