"""A small change in a large file: what it costs in time and on disk.

The time of the change is that of open, write and close by one program; the
commit comes behind it. Growth is in bytes, not blocks: several small commits
share a block."""
import os
import random

import peers
from ground import filled, median, run, timed, tool


def overwrite(path, at, data):
    with open(path, "r+b", buffering=0) as f:
        f.seek(at, os.SEEK_END if at == 0 else os.SEEK_SET)
        f.write(data)


class Rounds:
    """Changes in turn, each committed."""

    def __init__(self, g, repo, path):
        self.g, self.repo, self.path = g, repo, path
        self.forget()

    def forget(self):
        self.change, self.commit, self.growth = [], [], []

    def round(self, change, *arguments):
        before = self.g.store_length()
        self.change.append(timed(change, *arguments) * 1e3)
        self.commit.append(timed(self.g.commit, self.repo) * 1e3)
        self.growth.append((self.g.store_length() - before) / 1e3)

    def rows(self, name, limit):
        g = self.g
        g.row(f"{name}: change", median(self.change), None, "-", "ms", f"the first {self.change[0]:.4g} ms")
        g.row(f"{name}: commit", median(self.commit), None, limit, "ms", f"the first {self.commit[0]:.4g} ms")
        g.row(f"{name}: growth", median(self.growth), None, "<= 300 KB", "KB", f"the most {max(self.growth):.4g} KB")
        self.forget()


def rewritten(source, inside):
    filled(inside, tool("bench_data"), "insert", 1000, source=source)


def restic(g, source, size):
    g.need(int(1.1 * source.stat().st_size), "restic's repository")
    peer = peers.Restic(g, "large")
    peer.store(source, "first")
    before = peer.size()
    overwrite(source, source.stat().st_size // 2, b"?")
    took = peer.store(source, "second")
    g.row(f"1 byte in {size}: restic", None, took, "-", "s")
    g.row(f"1 byte in {size}: restic's growth", None, (peer.size() - before) / 1e3, "-", "KB")
    peer.remove()


def large(g):
    mib, rounds = g.size(10240, 64), g.size(7, 2)
    size = f"{mib >> 10} GiB" if mib >= 1024 else f"{mib} MiB"
    g.need(int(3.3 * mib * (1 << 20)), f"a file of {size} three times over")
    g.open()
    branch, source = g.branch("large"), g.native / "large"
    inside = branch / "large"
    filled(source, tool("bench_data"), "random", 5, mib)
    run("cp", source, inside)
    g.row(f"commit of a new file of {size}", timed(g.commit, "large"), timed(run, "openssl", "dgst", "-sha256", source),
          "<= 1.33", "s", "peer: openssl")
    r = Rounds(g, "large", inside)
    places = random.Random(1)
    with g.attempt("1-byte overwrite"):
        for i in range(rounds):
            r.round(overwrite, inside, places.randrange(1, mib << 20), bytes([i]))
        r.rows(f"1 byte in {size}", "<= 20 ms")
    with g.attempt("append"):
        for i in range(rounds):
            r.round(overwrite, inside, 0, bytes([i]) * 100)
        r.rows(f"100 bytes behind {size}", "<= 20 ms")
    with g.attempt("rewrite with a byte more"):
        g.need(int(1.1 * mib * (1 << 20)), "the file written anew")
        r.round(rewritten, source, inside)
        r.rows(f"{size} written anew with 1 byte more", "-")
    g.row("pfsd's peak memory", g.memory(), None, "-", "MB")
    with g.attempt("restic"):
        inside.unlink()
        restic(g, source, size)


ROWS = (large,)
