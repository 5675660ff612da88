#!/usr/bin/env python3
"""Read directories of a commit in every way, and count what pfs keeps for it. The
kernel may forget names any time: there are never more inodes than it was told of.

ahead.py MOUNTONLY DATA MOUNTPOINT
"""
import ctypes
import os
import struct
import subprocess
import sys
import time

NAMES = [f"file-{i:08d}.txt" for i in range(9000)]  # 3000 in each directory
AHEAD_MAX = 32
GETDENTS64 = {"x86_64": 217}.get(os.uname().machine, 61)
libc = ctypes.CDLL(None, use_errno=True)


class Mount:
    def __init__(self, program, data, at):
        self.process = subprocess.Popen([program, data, at, "io_uring=0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline().startswith("mounted")

    def known(self):
        self.process.stdin.write("known\n")
        self.process.stdin.flush()
        return tuple(int(word) for word in self.process.stdout.readline().split())

    def comes_to(self, what, test):
        """What follows an answer, or the kernel does later."""
        end = time.monotonic() + 10
        while not test(*self.known()):
            assert time.monotonic() < end, (what, self.known())
            time.sleep(0.01)

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(60) == 0


def some(fd, size=32768):
    """(position after it, name) of what one call of getdents64 brings."""
    buffer = ctypes.create_string_buffer(size)
    n = libc.syscall(GETDENTS64, fd, buffer, size)
    assert n >= 0, os.strerror(ctypes.get_errno())
    out, at = [], 0
    while at < n:
        after, length = struct.unpack_from("<qH", buffer.raw, at + 8)
        out.append((after, buffer.raw[at + 19:at + length].split(b"\0")[0].decode()))
        at += length
    return out


def rest(fd, sizes=(32768,)):
    out, turn = [], 0
    while True:
        more = some(fd, sizes[turn % len(sizes)])
        if not more:
            return out
        out += more
        turn += 1


def names(entries):
    return [name for _, name in entries if name not in (".", "..")]


def opened(path):
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


def main():
    m = Mount(*sys.argv[1:4])
    repo = sys.argv[3] + "/million"
    commit = repo + "/" + open(repo + "/master/.pfs/head").read().strip()
    for d in ("d0000", "d0001", "d0002"):
        os.stat(f"{commit}/{d}")
    os.stat(repo + "/master/d0000")
    base, ahead = m.known()
    assert ahead == 0

    fd = opened(f"{commit}/d0000")
    told = len(names(some(fd)))
    assert 0 < told < 1000, told
    m.comes_to("the next answer is prepared", lambda n, ahead: ahead == 1)
    os.close(fd)
    m.comes_to("and taken back", lambda n, ahead: ahead == 0 and n <= base + told)

    fd = opened(f"{commit}/d0000")
    first = some(fd)
    os.lseek(fd, 0, os.SEEK_SET)
    everything = rest(fd, (4096, 32768, 1 << 20, 300))
    assert names(everything) == NAMES[:3000]
    assert everything[:len(first)] == first
    for i in (0, 7, 700, 2999, 2000, 1):
        os.lseek(fd, everything[i][0], os.SEEK_SET)
        assert rest(fd) == everything[i + 1:], i
    os.close(fd)
    m.comes_to("names are known once", lambda n, ahead: ahead == 0 and n <= base + 3000)

    fds = [opened(f"{commit}/d0001") for _ in range(AHEAD_MAX + 8)]
    begun = [some(fd) for fd in fds]
    m.comes_to("only so many are prepared", lambda n, ahead: ahead == AHEAD_MAX)
    for fd, begin in zip(fds, begun):
        assert names(begin + rest(fd)) == NAMES[3000:6000]
        os.close(fd)
    m.comes_to("nothing stays", lambda n, ahead: ahead == 0 and n <= base + 6000)

    # The kernel keeps what it listed whole; so far nobody did so here.
    fds = [opened(f"{commit}/d0002") for _ in range(AHEAD_MAX + 8)]
    told = max(len(names(some(fd))) for fd in fds)
    m.comes_to("only so many again", lambda n, ahead: ahead == AHEAD_MAX)
    for fd in fds:
        os.close(fd)
    m.comes_to("nothing stays again", lambda n, ahead: ahead == 0 and n <= base + 6000 + told)

    fd = opened(repo + "/master/d0000")
    assert 0 < len(names(some(fd))) < 1000
    time.sleep(0.3)
    assert m.known()[1] == 0, "what may change is not prepared"
    os.close(fd)
    m.close()


main()
