"""New data: how fast it is taken in.

Each round is of new bytes that nobody has seen. Ours: the file is copied into
the mount (write), then committed; the commit makes everything durable, the
bytes that the copy left in the page cache too. Theirs: the same bytes lie in a
native file, flushed to disk and in the page cache. openssl only reads and
hashes, on one processor, and keeps nothing."""
import os
import pathlib
import shutil

import peers
from ground import Skip, children_cpu, filled, median, poured, run, timed, tool


def openssl(files):
    return timed(run, "openssl", "dgst", "-sha256", *files)


class Rounds:
    """The same file through us and through each peer in turn; rates in MB/s. Some peers are asked once only."""
    ONCE = ("casync", "bup")

    def __init__(self, ground, repo, wanted):
        self.g = ground
        self.repo = repo
        self.branch = ground.branch(repo)
        self.peers = {}
        self.rates = {}
        self.cpu = {}
        for peer in wanted:
            with ground.attempt(f"{repo} / {peer.program}"):
                self.peers[peer.program] = peer(ground, repo)

    def note(self, name, size, seconds):
        self.rates.setdefault(name, []).append(size / seconds / 1e6)

    def theirs(self, name, size, work, *arguments):
        before = children_cpu()
        self.note(name, size, work(*arguments))
        self.cpu.setdefault(name, []).append(children_cpu() - before)

    def round(self, source, i):
        files = [source] if source.is_file() else sorted(source.iterdir())
        size = sum(file.stat().st_size for file in files)
        before = self.g.cpu()
        write = timed(run, "cp", "-r", source, self.branch / source.name)
        commit = timed(self.g.commit, self.repo, f"round {i}")
        self.cpu.setdefault("pfsd", []).append(self.g.cpu() - before)
        self.note("commit", size, commit)
        self.note("both", size, write + commit)
        self.theirs("openssl", size, openssl, files)
        for name, peer in self.peers.items():
            if i > 0 and name in self.ONCE:
                continue
            with self.g.attempt(f"{self.repo} / {name}"):
                self.theirs(name, size, peer.store, source, f"round{i}")

    def row(self, what, ours, peer, target):
        if peer in self.rates and ours in self.rates:
            self.g.row(f"{what} / {peer}", median(self.rates[ours]), median(self.rates[peer]), target, "MB/s")

    def cpu_rows(self, what):
        for name in self.cpu:
            if name != "pfsd":
                self.g.row(f"processor time, copy and commit of {what} / {name}", median(self.cpu["pfsd"]),
                           median(self.cpu[name]), "-", "s")

    def close(self):
        for peer in self.peers.values():
            peer.remove()


def random_data(g, mib, rounds, wanted, targets):
    size = f"{mib >> 10} GiB" if mib >= 1024 else f"{mib} MiB"
    g.need((2 + rounds * (1 + len(wanted))) * (mib << 20), f"{size} of random data, {rounds} times")
    g.open()
    say_how(g)
    r = Rounds(g, "random", wanted)
    for i in range(rounds):
        source = g.native / f"random{i}"
        filled(source, tool("bench_data"), "random", 1000 * mib + i, mib)
        r.round(source, i)
        source.unlink()
    for name, target in targets.items():
        r.row(f"commit of {size} random", "commit", name, target)
    for name in targets:
        r.row(f"copy and commit of {size} random", "both", name, "-")
    r.cpu_rows(f"{size} random")
    g.row(f"disk used for {rounds} x {size}", g.store_used() / (1 << 20), mib * rounds, "<= 1.02", "MiB", "store / data")
    g.row("pfsd's peak memory", g.memory(), None, "-", "MB")
    r.close()


def random_1(g):
    random_data(g, g.size(1024, 64), g.size(5, 1), (peers.Restic, peers.Borg, peers.Casync, peers.Bup),
                {"openssl": ">= 0.75", "restic": ">= 2", "borg": ">= 2", "casync": "-", "bup": "-"})


def random_10(g):
    if g.quick:
        raise Skip("10 GiB: not with --quick")
    random_data(g, 10240, 1, (peers.Restic,), {"openssl": ">= 0.75", "restic": ">= 2"})


TEXT_FOLDERS = (pathlib.Path("/usr/include"), pathlib.Path("/usr/share"), *sorted(pathlib.Path("/usr/lib").glob("python3*")))


def real_text(out, limit):
    """Text files of this machine, one behind the other; how many bytes."""
    done = 0
    for folder in TEXT_FOLDERS:
        for path in sorted(folder.rglob("*")):
            if done >= limit:
                return done
            if path.is_symlink() or not path.is_file():
                continue
            data = path.read_bytes()
            if b"\0" not in data[:65536]:
                out.write(data)
                done += len(data)
    return done


def text_file(path, mib, seed):
    """Half of what the machine has to read, then made text; the share of the real in percent."""
    with open(path, "wb") as out:
        real = real_text(out, mib << 19) if seed == 0 else 0
        rest = ((mib << 20) - real) >> 20
        for i, kind in enumerate(("csv", "jsonl", "log")):
            out.write(b"\n")
            out.flush()
            poured(out, tool("bench_data"), kind, 100 * seed + i + 1, max(rest // 3, 1))
        os.fsync(out.fileno())
        return 100 * real // out.seek(0, os.SEEK_END)


def say_how(g):
    g.say("the copy leaves the bytes in the page cache, the commit behind it reads and flushes them; the peers read a "
          "native file that is flushed and in the page cache; openssl keeps nothing")


def text(g):
    mib, rounds, wanted = g.size(640, 24), g.size(3, 1), (peers.Restic, peers.Borg)
    g.need(4 * (rounds + 1) * (mib << 20), "text")
    g.open()
    say_how(g)
    r = Rounds(g, "text", wanted)
    for i in range(rounds):
        source = g.native / f"text{i}"
        share = text_file(source, mib, i)
        if i == 0:
            g.say(f"text: {mib} MiB a round; {share} % of the first are files of this machine, "
                  "what is left table rows, JSON lines and a log, a third each")
        r.round(source, i)
        source.unlink()
    for name, target in {"restic": ">= 1.3", "borg": "-", "openssl": "-"}.items():
        r.row(f"commit of {mib} MiB text", "commit", name, target)
    for name in ("restic", "borg"):
        r.row(f"copy and commit of {mib} MiB text", "both", name, "-")
    r.cpu_rows(f"{mib} MiB text")
    written = g.store_used()
    took = timed(g.tidy)
    g.row(f"disk used for {rounds} x {mib} MiB text: as written, tidied", written / 1e6, g.store_used() / 1e6, "-", "MB",
          f"tidied in {took:.3g} s; pfsd does it by itself when it has time")
    for name, peer in r.peers.items():
        g.row(f"disk used for {rounds} x {mib} MiB text, tidied / {name}", g.store_used() / 1e6, peer.size() / 1e6, "-",
              "MB")
    r.close()


def text_in_files(g):
    """Too short to be taken in as they are: what a commit stores of these is compressed at once."""
    mib, rounds, each = g.size(640, 24), g.size(3, 1), 8 << 20
    g.need(4 * (rounds + 1) * (mib << 20), "text")
    g.open()
    r = Rounds(g, "files", (peers.Restic, peers.Borg))
    for i in range(rounds):
        whole, source = g.native / "whole", g.native / f"files{i}"
        text_file(whole, mib, i)
        source.mkdir()
        run("split", "-b", each, "-a", "4", "--numeric-suffixes", whole, source / "part")
        whole.unlink()
        os.sync()
        r.round(source, i)
        shutil.rmtree(source)
    for name, target in {"restic": ">= 1.3", "borg": "-", "openssl": "-"}.items():
        r.row(f"commit of {mib} MiB text in files of 8 MiB", "commit", name, target)
    r.cpu_rows(f"{mib} MiB text in files of 8 MiB")
    for name, peer in r.peers.items():
        g.row(f"disk used for {rounds} x {mib} MiB text in files / {name}", g.store_used() / 1e6, peer.size() / 1e6, "-",
              "MB")
    r.close()


ROWS = (text, text_in_files, random_1, random_10)
