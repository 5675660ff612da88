"""What a day's work asks of the mount: names and attributes of very many files,
and a source tree that is unpacked, searched, compiled and kept by git.

The million files are made by bench_million through the tree, and each round
starts pfsd anew on them. The source tree is made here: as many files as a
kernel has, of the sizes it has, the same in every run. What it took of the
processors, the share of pfsd or of passthrough_hp included, stands behind each
row: it is steadier than the time where the machine has other things to do. What
was done in the native file system before a commit and is done again beside it
afterwards has rows of the guests only once (beside.py)."""
import io
import pathlib
import random
import shutil
import subprocess
import tarfile

from beside import Place, contest, guests, ready
from files import newest, search
from ground import GIB, PROJECT, drop_caches, run, timed, tool, wait_for


def quietly(*command, **options):
    """A command whose output nobody reads."""
    subprocess.run([str(c) for c in command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options)


def both(g, name, how, places, target, rounds=5, **state):
    """Rows of the time that how(folder) takes, done in turn; the places where it could be done."""
    return contest(g, name, lambda folder, _: timed(how, folder), places, target, "s", rounds, processor=True, **state)


def find(folder):
    """Everything below, with its attributes."""
    quietly("find", folder, "-printf", "%s %p\n")


def restarted(g, data):
    g.stop()
    drop_caches()
    g.open(data)


def commit_of(g):
    return g.mount / "million" / (g.mount / "million" / "master" / ".pfs" / "head").read_text().strip()


def resident(g):
    """What pfsd has in RAM now, in MB."""
    status = pathlib.Path(f"/proc/{g.pfsd.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def given_back(g):
    """The same when the kernel has forgotten all names, and no request of that is under way."""
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("2")
    seen = [g.cpu()]

    def quiet():
        seen.append(g.cpu())
        return len(seen) > 25 and seen[-1] == seen[-25]

    wait_for("pfsd forgets", quiet, 60)
    return resident(g)


def million_beside(g, what, make):
    """The guests with a million files: btrfs makes its own, passthrough_hp shows the native ones."""
    def filled(folder):
        if not folder.exists():
            folder.mkdir()
            make(folder)

    return ready(g, what, [place.below("all") for place in guests(g, what, 5 * GIB, g.native)], filled)


def folders(g):
    files = g.size(1000000, 20000)
    g.need(3 * GIB, "a million files")
    data, native = g.folder / "data", g.native / "all"
    run(tool("bench_million"), data, files, 1000, "only")
    native.mkdir()
    run(tool("bench_fs"), "create", native, files, 8)

    restarted(g, data)
    places = [Place(commit_of(g), lambda: restarted(g, data), g.cpu), Place(native),
              *million_beside(g, "find", lambda folder: run(tool("bench_fs"), "create", folder, files, 8))]
    places = both(g, f"find with attributes, {files} files, first", find, places, "<= 1.5 s", 3, cold=True)
    both(g, f"find with attributes, {files} files, repeated", find, places, "<= 1.1", warm=True)
    g.row(f"pfsd's memory, {files} files looked up", resident(g), None, "<= 500 MB", "MB",
          f"{g.memory():.4g} MB at most")
    g.row("pfsd's memory, all of them forgotten", given_back(g), None, "-", "MB")


def one_folder(g):
    files = g.size(1000000, 20000)
    g.need(3 * GIB, "a million files")
    data, native = g.folder / "data", g.native / "all"
    run(tool("bench_million"), data, files, files, "only")
    native.mkdir()
    run(tool("bench_fs"), "names", native, files)
    restarted(g, data)
    places = [Place(commit_of(g) / "d0000", lambda: restarted(g, data), g.cpu), Place(native),
              *million_beside(g, "ls", lambda folder: run(tool("bench_fs"), "names", folder, files))]
    for option, words in (("-f", "first"), ("-f", "repeated"), ("-U", "repeated"), ("-1", "repeated")):
        places = both(g, f"ls {option} of a directory of {files} names, {words}",
                      lambda folder: quietly("ls", option, folder), places, "<= 2 s", 3,
                      cold=words == "first", warm=words != "first")


# A source tree.

WORDS = """static const struct int return if else for unsigned char void size_t len data buf err ret dev ops priv lock unlock
init exit probe remove register unregister NULL true false while switch case break default goto out free alloc kzalloc
sizeof flags mask page node list entry head next prev index count offset base addr read write u8 u16 u32 u64 0x00ff
dev_err dev_dbg container_of spin_lock mutex_lock /* */ -> == != && || += << >> EXPORT_SYMBOL_GPL MODULE_LICENSE""".split()
ENDINGS = (".c",) * 55 + (".h",) * 30 + (".dts", ".rst", ".S", ".txt", ".yaml", "/Kconfig", "/Makefile")


def text(dice, size):
    """Lines that look like C."""
    lines, length = [], 0
    while length < size:
        lines.append("\t" * dice.randrange(4) + " ".join(dice.choices(WORDS, k=dice.randrange(1, 12))) + ";\n")
        length += len(lines[-1])
    return "".join(lines).encode()


def make_tarball(path, files):
    """A tree of `files` files in a folder for each 15 of them, half a gigabyte to one for 80000; its names."""
    dice = random.Random(4)
    pool = text(dice, 8 << 20)
    dirs = ["tree"]
    names = set()
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT, bufsize=1 << 20) as tar:
        def add(name, data, **kind):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1700000000 + len(names)
            for key, value in kind.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
            names.add(name)

        add(dirs[0], b"", type=tarfile.DIRTYPE, mode=0o755)
        while len(names) < files:
            parent = dirs[int(len(dirs) * dice.random() ** 1.5)]
            if parent.count("/") > 7:
                continue
            folder = f"{parent}/{dice.choice(WORDS[:40]).replace('/', '')}{len(dirs)}"
            dirs.append(folder)
            add(folder, b"", type=tarfile.DIRTYPE, mode=0o755)
            for i in range(int(dice.expovariate(1 / 15)) + 1):
                ending = dice.choice(ENDINGS)
                name = folder + (ending if ending[0] == "/" else f"/{dice.choice(WORDS[:40])}-{i}{ending}")
                size = min(int(dice.lognormvariate(8.4, 1.4)), 1 << 20)
                at = dice.randrange(len(pool) - size)
                if name not in names:
                    add(name, f"/* {name} */\n".encode() + pool[at:at + size], mode=0o644)
    return len(names)


def git(*command, cwd):
    return run("git", "-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0",
               "-c", "core.compression=0", "-c", "core.fsync=none", *command, cwd=cwd)


def git_everywhere(g, native, others):
    """One repository everywhere: made beside, taken into the others whole; where that went well."""
    def refreshed(folder):
        (folder / ".git" / "index").unlink()
        git("read-tree", "HEAD", cwd=folder)
        git("update-index", "-q", "--refresh", cwd=folder)

    def taken_in(folder):
        run("cp", "-r", native.folder / ".git", folder / ".git")
        refreshed(folder)

    git("init", "-q", cwd=native.folder)
    git("add", "-A", cwd=native.folder)
    git("commit", "-q", "-m", "all", cwd=native.folder)
    git("repack", "-adq", "--window=0", cwd=native.folder)
    places = ready(g, "git status", others, taken_in)
    refreshed(native.folder)
    return places


def status(place):
    quietly("git", "status", "--porcelain", cwd=place)


def source(g):
    files = g.size(80000, 2000)
    g.need(8 * GIB, "a source tree, several times")
    tarball = g.folder / "tree.tar"
    names = make_tarball(tarball, files)
    g.say(f"daily: a source tree of {names} names, {tarball.stat().st_size / 1e6:.0f} MB")
    g.open()
    tarball.read_bytes()
    branch = g.branch("source")
    places = [Place(branch, cpu=g.cpu), Place(g.native), *guests(g, "source", 6 * GIB)]

    def unpack(folder):
        place = folder / f"u{len(list(folder.iterdir()))}"
        place.mkdir()
        quietly("tar", "-C", place, "-xf", tarball)

    places = both(g, f"untar of {names} names", unpack, places, "<= 2.5", 3)
    places = [place.below("tree") for place in newest(g, "grep -r", places, "u*")]
    for folder in (branch, g.native):
        for other in folder.glob("u*"):
            shutil.rmtree(other)
    ours, native, *others = places

    def warm(name, how, ours, *others):
        both(g, name, how, [ours, native, *others], "<= 1.5", warm=True)

    warm("grep -r, uncommitted, warm", search, ours, *others)
    ours, *others = git_everywhere(g, native, [ours, *others])
    warm("git status, warm", status, ours, *others)
    g.commit("source")
    warm("git status after a commit of pfs, warm", status, ours)
    ours, native, *others = ready(g, "grep -r", [ours, native, *others], lambda folder: shutil.rmtree(folder / ".git"))
    committed = Place(g.mount / "source" / g.commit("source") / "last" / "tree", cpu=g.cpu)
    warm("grep -r, a branch after its commit, warm", search, ours)
    both(g, "grep -r, committed, first", search, [committed, native, *others], "-", 1, cold=True)
    warm("grep -r, committed, warm", search, committed)


# A package that is compiled.

ROOMS = ("base", "format", "store", "tree")


def prepare(folder):
    """The sources of pfs and a makefile for the lower half of them."""
    folder.mkdir()
    for part in ("src", "include"):
        shutil.copytree(PROJECT / part, folder / part)
    keys = " ".join(f"-DPFS_MAY_USE_{room.upper()}" for room in ROOMS)
    (folder / "Makefile").write_text(
        f"sources := $(wildcard {' '.join(f'src/{room}/*.c' for room in ROOMS)})\n"
        "objects := $(sources:.c=.o)\n"
        "libpfs.a: $(objects)\n\tar rcs $@ $^\n"
        "%.o: %.c\n\tgcc -std=gnu17 -D_GNU_SOURCE -Isrc -Iinclude " + keys + " -O0 -g -MMD -c -o $@ $<\n"
        "clean:\n\trm -f libpfs.a $(objects) $(objects:.o=.d)\n"
        "-include $(objects:.o=.d)\n")


def compile_it(folder):
    quietly("make", "-j2", "-C", folder)


def package(g):
    g.need_program("make")
    g.open()
    places = [Place(g.branch("package"), cpu=g.cpu), Place(g.native), *guests(g, "package", 2 * GIB)]
    places = ready(g, "make", [place.below("pfs") for place in places], prepare)

    def clean_and_compile(folder, _):
        run("make", "-C", folder, "clean")
        return timed(compile_it, folder)

    contest(g, "make -j2 of a C library", clean_and_compile, places, "<= 1.5", "s", 3, processor=True)


ROWS = (folders, one_folder, source, package)
