"""The mount against the native file system and the guests beside it: one large file, many small ones."""
import shutil
import subprocess

from beside import Place, contest, guests, ready
from ground import GIB, run, timed, tool


def seconds(*command):
    return float(run(tool("bench_fs"), *command))


def search(place):
    """For what is in no file: every byte is read."""
    done = subprocess.run(["grep", "-r", "pfs was here", str(place)], check=False, stdout=subprocess.DEVNULL)
    if done.returncode != 1:
        raise RuntimeError(f"grep -r: {done.returncode}")


def newest(g, what, places, pattern):
    """What each has written last, under one name everywhere."""
    places = ready(g, what, places, lambda folder: max(folder.glob(pattern)).rename(folder / "last"))
    return [place.below("last") for place in places]


def sequential(g):
    mib = g.size(1024, 64)
    g.open()
    branch = g.branch("sequential")
    places = [Place(branch), Place(g.native), *guests(g, "sequential", 6 * GIB)]

    def write(folder, i):
        took = seconds("write", folder / f"w{i}", mib)
        if i > 0:
            (folder / f"w{i - 1}").unlink()
        return mib * 1048576 / took / 1e9

    def read(path, _):
        return mib * 1048576 / seconds("read", path) / 1e9

    def random_read(path, _):
        return 20000 / seconds("randread", path, 20000) / 1e3

    places = contest(g, f"sequential write, new file, {mib} MiB", write, places, ">= 0.9", "GB/s")
    ours, *others = newest(g, "sequential read", places, "w*")
    contest(g, "sequential read, uncommitted, warm", read, [ours, others[0]], ">= 0.95", "GB/s", warm=True)
    committed = Place(g.mount / "sequential" / g.commit("sequential") / "last")
    contest(g, "sequential read, committed, warm", read, [committed, *others], ">= 0.95", "GB/s", warm=True)
    contest(g, "sequential read, committed, cold", read, [committed, *others], ">= 0.9", "GB/s", 3, cold=True)
    contest(g, "random 4 KiB read, committed, warm", random_read, [committed, *others], ">= 0.9", "k/s", warm=True)


def many(n):
    """Making n small files in a new folder, and looking at those of one."""
    def create(folder, i):
        # Nothing is removed in between: ext4 finds new inodes slowly where many were just given back.
        target = folder / f"c{i}"
        target.mkdir()
        return seconds("create", target, n, 1024)

    def stat(folder, _):
        return seconds("stat", folder, n)

    return create, stat


def small(g):
    n = g.size(100000, 3000)
    g.open()
    places = [Place(g.branch("small")), Place(g.native), *guests(g, "small", 4 * GIB)]

    create, stat = many(n)
    places = contest(g, f"create {n} files of 1 KiB", create, places, "<= 3", "s", 3)
    branch = places[0].folder
    places = newest(g, "stat", places, "c*")
    for other in branch.glob("c*"):
        shutil.rmtree(other)
    g.row(f"commit of {n} new files", timed(g.commit, "small"), None, "-", "s")
    contest(g, f"stat {n} files, repeated", stat, places, "<= 1.1", "s", warm=True)

    git = ["git", "-C", g.native / "last", "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    run(*git, "init", "-q")
    run(*git, "add", "-A")
    run(*git, "commit", "-q", "-m", "all")
    one = f"{n // 2000:03d}/{n // 2:06d}"

    def commit_one(i):
        (branch / "last" / one).write_text(f"changed {i}\n" * 20)
        return timed(g.commit, "small", f"change {i}") * 1e3

    def git_one(i):
        (g.native / "last" / one).write_text(f"changed {i}\n" * 20)
        return timed(run, *git, "commit", "-q", "-m", str(i), one) * 1e3

    ours, theirs = g.pairs(commit_one, git_one, 15)
    g.row(f"commit of 1 changed file among {n}", ours, None, "<= 5 ms", "ms")
    g.row(f"commit of 1 changed file among {n} / git", ours, theirs, "-", "ms")


def few(g):
    """So few that passthrough_hp has a descriptor for each: what FUSE itself asks for them."""
    n = g.size(4000, 500)
    g.open()
    places = [Place(g.branch("few")), Place(g.native), *guests(g, "few", 2 * GIB)]

    create, stat = many(n)
    places = contest(g, f"create {n} files of 1 KiB", create, places, "<= 3", "s", 3)
    places = newest(g, "few", places, "c*")
    contest(g, f"grep -r of {n} files, uncommitted, warm", lambda folder, _: timed(search, folder), places, "<= 1.5",
            "s", warm=True)
    contest(g, f"stat {n} files, repeated", stat, places, "<= 1.1", "s", warm=True)


SEQUENTIAL, SMALL = (sequential,), (small, few)
