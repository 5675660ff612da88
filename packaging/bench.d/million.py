"""A million small files: in a thousand folders, and in one.

Made by bench_million through the tree, which also measures from inside; then
pfsd is started on what it made, and the same is measured through the mount.
The last function writes the million through the mount."""
import inside
from ground import GIB, median, run, timed, tool

TARGETS = {"commit of 1 changed file": "<= 5 ms", "compare, 10 changes": "<= 3 ms",
           "merge, 10 changes on each side": "<= 10 ms"}


def measure(g, files, per_dir, name):
    g.need(2 * GIB, "a million files")
    data = g.folder / "data"
    inside.rows(g, tool("bench_million"), data, files, per_dir, targets=TARGETS, suffix=f" among {name}")
    g.open(data)
    branch = g.mount / "million" / "master"
    times = []
    for i in range(g.size(101, 11)):
        n = i * 7919 % files
        path = branch / f"d{n // per_dir:04d}" / f"file-{n:08d}.txt"
        path.write_text(f"changed through the mount {i}\n" * 20)
        times.append(timed(g.commit, "million") * 1e3)
    g.row(f"through the mount: commit of 1 among {name}", median(times), None, "<= 5 ms", "ms",
          f"the slowest {max(times):.4g} ms")
    g.row("pfsd's peak memory", g.memory(), None, "-", "MB")


def folders(g):
    files = g.size(1000000, 20000)
    measure(g, files, 1000, f"{files} in folders")


def one_folder(g):
    files = g.size(1000000, 20000)
    measure(g, files, files, f"{files} in one folder")


def written(g):
    files = g.size(1000000, 3000)
    g.need(8 * GIB, "a million files through the mount")
    g.open()
    branch = g.branch("written")
    g.row(f"create {files} files of 400 B through the mount", float(run(tool("bench_fs"), "create", branch, files, 400)),
          None, "-", "s")
    g.row(f"commit of {files} new files", timed(g.commit, "written"), None, "-", "s")
    g.row("pfsd's peak memory", g.memory(), None, "<= 500 MB", "MB")


ROWS = (folders, one_folder, written)
