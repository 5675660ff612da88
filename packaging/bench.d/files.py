"""The mount against the native file system: one large file, many small ones."""
import pathlib
import shutil

from ground import drop_caches, run, timed, tool


def seconds(*command):
    return float(run(tool("bench_fs"), *command))


def sequential(g):
    mib = g.size(1024, 64)
    g.open()
    branch = g.branch("sequential")

    def write(folder, i):
        took = seconds("write", folder / f"w{i}", mib)
        if i > 0:
            (folder / f"w{i - 1}").unlink()
        return mib * 1048576 / took / 1e9

    def read(path):
        return mib * 1048576 / seconds("read", path) / 1e9

    def cold(path):
        drop_caches()
        return read(path)

    def random_read(path):
        return 20000 / seconds("randread", path, 20000) / 1e3

    def both(name, inside, target, unit, how, rounds=5):
        g.row(name, *g.pairs(lambda i: how(inside), lambda i: how(native), rounds), target, unit)

    ours, theirs = g.pairs(lambda i: write(branch, i), lambda i: write(g.native, i))
    g.row(f"sequential write, new file, {mib} MiB", ours, theirs, ">= 0.9", "GB/s")
    last = max(pathlib.Path(g.native).glob("w*")).name
    native = g.native / last
    both("sequential read, uncommitted, warm", branch / last, ">= 0.95", "GB/s", read)
    commit = g.commit("sequential")
    committed = g.mount / "sequential" / commit / last
    read(committed)
    read(native)
    both("sequential read, committed, warm", committed, ">= 0.95", "GB/s", read)
    both("sequential read, committed, cold", committed, ">= 0.9", "GB/s", cold, 3)
    read(committed)
    read(native)
    both("random 4 KiB read, committed, warm", committed, ">= 0.9", "k/s", random_read)


def small(g):
    n = g.size(100000, 3000)
    g.open()
    branch = g.branch("small")

    def create(folder, i):
        # Nothing is removed in between: ext4 finds new inodes slowly where many were just given back.
        target = folder / f"c{i}"
        target.mkdir()
        return seconds("create", target, n, 1024)

    ours, theirs = g.pairs(lambda i: create(branch, i), lambda i: create(g.native, i), 3)
    g.row(f"create {n} files of 1 KiB", ours, theirs, "<= 3", "s")
    last = max(g.native.glob("c*")).name
    for other in branch.iterdir():
        if other.name != last:
            shutil.rmtree(other)
    g.row(f"commit of {n} new files", timed(g.commit, "small"), None, "-", "s")

    ours, theirs = g.pairs(lambda i: seconds("stat", branch / last, n), lambda i: seconds("stat", g.native / last, n))
    g.row(f"stat {n} files, repeated", ours, theirs, "<= 1.1", "s")

    git = ["git", "-C", g.native / last, "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    run(*git, "init", "-q")
    run(*git, "add", "-A")
    run(*git, "commit", "-q", "-m", "all")
    one = f"{n // 2000:03d}/{n // 2:06d}"

    def commit_one(i):
        (branch / last / one).write_text(f"changed {i}\n" * 20)
        return timed(g.commit, "small", f"change {i}") * 1e3

    def git_one(i):
        (g.native / last / one).write_text(f"changed {i}\n" * 20)
        return timed(run, *git, "commit", "-q", "-m", str(i), one) * 1e3

    ours, theirs = g.pairs(commit_one, git_one, 15)
    g.row(f"commit of 1 changed file among {n}", ours, None, "<= 5 ms", "ms")
    g.row(f"commit of 1 changed file among {n} / git", ours, theirs, "-", "ms")


SEQUENTIAL, SMALL = (sequential,), (small,)
