"""Where the same is done in turn: the mount, the native file system of the
measured disk, and for comparison two guests on that disk:

    btrfs           with the defaults of mkfs and mount, in an image that has its
                    room on the disk; read and written past the page cache of the
                    disk, in which it would be warm when it should be cold
    passthrough_hp  libfuse's own example over a folder of the disk: what FUSE
                    costs when nothing is remembered; built from the sources of
                    the libfuse that the build uses, beside our own tools

Before each go all that was written is on disk. What is measured warm had a go
that does not count. What is measured cold is in no cache, and who serves it is
started anew: passthrough_hp keeps a descriptor for every name that the kernel
knows, and with it the disk's. Guests have no targets: who took PATIENCE seconds
for a row is not asked again for it, and who fails says why in its row only.
"""
import contextlib
import os
import pathlib
import resource
import shutil
import subprocess

from ground import (BUILD, MISHAPS, PROJECT, Skip, children_cpu, drop_caches, median, process_cpu, run, timed, tool,
                    wait_for)

PATIENCE = 10


class Place:
    """A folder, how it is forgotten, and the seconds of processor of who serves it; only guests have a name."""

    def __init__(self, folder, cold=drop_caches, cpu=lambda: 0.0, name=None):
        self.folder, self.cold, self.cpu, self.name = folder, cold, cpu, name

    def below(self, *parts):
        return Place(self.folder.joinpath(*parts), self.cold, self.cpu, self.name)


def unmount(folder):
    for how in ((), ("-l",)):
        if os.path.ismount(folder):
            subprocess.run(["umount", *how, folder], check=False, stderr=subprocess.DEVNULL)


def btrfs(g, size):
    g.need_program("mkfs.btrfs")
    g.need(size, "an image for btrfs")
    folder, image = g.folder / "btrfs", g.folder / "btrfs.image"
    folder.mkdir()
    run("fallocate", "-l", size, image)
    run("mkfs.btrfs", "-q", image)
    device = run("losetup", "--find", "--show", "--direct-io=on", image).strip()
    g.after.callback(subprocess.run, ["losetup", "-d", device], check=False)
    run("mount", "-t", "btrfs", device, folder)
    g.after.callback(unmount, folder)
    return Place(folder, name="btrfs")


def example(name):
    """An example of the libfuse that we use, compiled as its own build would: some of its calls ask fuse_config.h."""
    wrap = (PROJECT / "subprojects" / "fuse3.wrap").read_text().splitlines()
    directory = next(line.split(" = ")[1] for line in wrap if line.startswith("directory"))
    source, program = PROJECT / "subprojects" / directory / "example" / f"{name}.cc", tool(name)
    flags = BUILD / "meson-uninstalled"
    if not source.exists() or not (flags / "fuse3-uninstalled.pc").exists():
        raise Skip("this build takes the system's libfuse, which has no examples with it")
    if not shutil.which("g++"):
        raise Skip("g++ is not installed (packaging/setup --bench)")
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        words = run("pkg-config", "--static", "--cflags", "--libs", "fuse3",
                    env={**os.environ, "PKG_CONFIG_PATH": str(flags)}).split()
        run("g++", "-std=c++17", "-O2", "-D_REENTRANT", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64",
            "-DHAVE_LIBFUSE_PRIVATE_CONFIG_H", "-fno-strict-aliasing", "-o", program, source, *words)
    return program


def more_descriptors():
    """As many as the kernel gives a process, where we may; otherwise rows of many files say that there were too few."""
    most = int(pathlib.Path("/proc/sys/fs/nr_open").read_text())
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class PassthroughHp:
    def __init__(self, g, source):
        self.command = [example("passthrough_hp"), "--foreground", source, g.folder / "passthrough_hp"]
        self.folder = self.command[-1]
        self.folder.mkdir()
        self.process = None
        g.after.callback(self.stop)
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        preexec_fn=more_descriptors)
        wait_for("passthrough_hp mounts", lambda: os.path.ismount(self.folder) or self.process.poll() is not None)
        if self.process.poll() is not None:
            raise RuntimeError(f"passthrough_hp ended with {self.process.returncode}")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        unmount(self.folder)

    def restart(self):
        self.stop()
        drop_caches()
        self.start()

    def cpu(self):
        return process_cpu(self.process.pid)


def passthrough_hp(g, source=None):
    if source is None:
        source = g.folder / "passthrough_hp.source"
        source.mkdir()
    served = PassthroughHp(g, source)
    return Place(served.folder, served.restart, served.cpu, "passthrough_hp")


def guests(g, what, size, source=None):
    """btrfs with so much room, and passthrough_hp over a new folder, or over one that nobody changes any more."""
    found = []
    with g.attempt(f"{what} / btrfs"):
        found.append(btrfs(g, g.size(size, 1 << 30)))
    with g.attempt(f"{what} / passthrough_hp"):
        found.append(passthrough_hp(g, source))
    return found


def ready(g, what, places, how):
    """Those in which how(folder) could be done; the guests are not needed."""
    found = []
    for place in places:
        if not place.name:
            how(place.folder)
            found.append(place)
            continue
        with g.attempt(f"{what} / {place.name}"):
            how(place.folder)
            found.append(place)
    return found


class Contest:
    """The goes of one row: results[n] are the figure and the seconds of processor of each go in places[n]."""

    def __init__(self, g, name, how, places):
        self.g, self.name, self.how, self.places = g, name, how, places
        self.results = [[] for _ in places]
        self.spent = [0.0 for _ in places]

    def go(self, place, i, cold):
        if cold:
            place.cold()
        os.sync()
        before = children_cpu() + place.cpu()
        figure = self.how(place.folder, i)
        return figure, children_cpu() + place.cpu() - before

    def turn(self, n, i, cold=False, counts=True):
        place = self.places[n]
        if place.name and (self.results[n] is None or (self.results[n] and self.spent[n] > PATIENCE)):
            return

        def go():
            result = self.go(place, i, cold)
            if counts:
                self.results[n].append(result)

        if not place.name:
            go()
            return
        failed = True
        with self.g.attempt(f"{self.name} / {place.name}"):
            self.spent[n] += timed(go)
            failed = False
        if failed:
            self.results[n] = None

    def medians(self):
        return [result and [median(column) for column in zip(*result)] for result in self.results]


def contest(g, name, how, places, target, unit, rounds=5, cold=False, warm=False, processor=False):
    """The rows of how(folder, i) in the mount and the native file system, the first two places, and in the guests.
    The places where it could be done."""
    c = Contest(g, name, how, places)
    for i in range(-1 if warm else 0, g.size(rounds, min(rounds, 2))):
        for n in range(len(places)):
            c.turn(n, i, cold, i >= 0)
    (ours, used), *others = c.medians()
    for place, theirs in zip(places[1:], others):
        if theirs:
            note = f"processor {used:.3g} and {theirs[1]:.3g} s" if processor else ""
            g.row(f"{name} / {place.name}" if place.name else name, ours, theirs[0], "-" if place.name else target, unit,
                  note)
    return [place for place, result in zip(places, c.results) if result is not None]
