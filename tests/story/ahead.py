#!/usr/bin/env python3
"""Read directories of a commit in every way, and count what pfs keeps for it: just
those names that the kernel was told of, and once the kernel forgot them, none.

ahead.py MOUNTONLY DATA MOUNTPOINT
"""
import ctypes
import os
import resource
import struct
import subprocess
import sys
import time

NAMES = [f"file-{i:08d}.txt" for i in range(12000)]  # 3000 in each directory
AHEAD_MAX = 32
AHEAD_IDLE = 1
CANNOT = "cannot send requests again"
GETDENTS64 = {"x86_64": 217}.get(os.uname().machine, 61)
MS_REMOUNT = 32
libc = ctypes.CDLL(None, use_errno=True)


class Mount:
    def __init__(self, program, data, at):
        self.at = at
        self.process = subprocess.Popen([program, data, at, "io_uring=0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline().startswith("mounted")

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def known(self):
        return tuple(int(word) for word in self.ask("known").split())

    def comes_to(self, what, test):
        """What follows an answer, or the kernel does later."""
        end = time.monotonic() + 10
        while not test(*self.known()):
            assert time.monotonic() < end, (what, self.known())
            time.sleep(0.01)

    def start(self, *held):
        """Directories that are held by descriptors: what else is known from now on is counted."""
        self.held = [pinned(path) for path in held]
        self.forget()
        self.base, ahead = self.settled()
        assert ahead == 0

    def settled(self):
        """What the kernel forgets it says later, in its own time: until nothing comes for a while."""
        known, since = self.known(), time.monotonic()
        while time.monotonic() < since + 0.5:
            time.sleep(0.01)
            now = self.known()
            if now != known:
                known, since = now, time.monotonic()
        return known

    def again(self):
        """False: this kernel cannot, which is said."""
        answer = self.ask("again")
        if CANNOT in answer:
            print("skipped:", answer)
            return False
        assert answer == "ok", answer
        return True

    def forget(self):
        """The kernel forgets what nobody has open: it does so before it mounts anew."""
        assert libc.mount(None, self.at.encode(), None, MS_REMOUNT, None) == 0, os.strerror(ctypes.get_errno())

    def knows_just(self, what, directory, listed):
        """While the names are held the kernel forgets none of them, whatever else the machine does."""
        pins = [pinned(f"{directory}/{name}") for name in listed]
        self.comes_to(what, lambda n, ahead: ahead == 0 and n == self.base + len(pins))
        for name, pin in zip(listed, pins):
            os.close(os.open(f"/proc/self/fd/{pin}", os.O_RDONLY))
            os.close(pin)
        self.forget()
        self.comes_to(what + ", and forgets it", lambda n, ahead: (n, ahead) == (self.base, 0))

    def close(self):
        for fd in self.held:
            os.close(fd)
        self.process.stdin.close()
        assert self.process.wait(60) == 0


def pinned(path):
    return os.open(path, os.O_PATH)


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


def closed_half_read(m, d):
    fd = opened(d)
    told = names(some(fd))
    assert told == NAMES[:len(told)] and 0 < len(told) < 1000, told
    m.comes_to("the next answer is prepared", lambda n, ahead: ahead == 1 and n > m.base + len(told))
    os.close(fd)
    m.knows_just("what was prepared is taken back", d, told)


def read_from_anywhere(m, d):
    fd = opened(d)
    first = some(fd)
    os.lseek(fd, 0, os.SEEK_SET)
    everything = rest(fd, (4096, 32768, 1 << 20, 300))
    assert names(everything) == NAMES[:3000]
    assert everything[:len(first)] == first
    for i in (0, 7, 700, 2999, 2000, 1):
        os.lseek(fd, everything[i][0], os.SEEK_SET)
        assert rest(fd) == everything[i + 1:], i
    os.close(fd)
    m.knows_just("names are known once", d, NAMES[:3000])


def many_at_once(m, d):
    fds = [opened(d) for _ in range(AHEAD_MAX + 8)]
    begun = [some(fd) for fd in fds]
    m.comes_to("only so many are prepared", lambda n, ahead: ahead == AHEAD_MAX)
    for fd, begin in zip(fds, begun):
        assert names(begin + rest(fd)) == NAMES[3000:6000]
        os.close(fd)
    m.knows_just("nothing stays", d, NAMES[3000:6000])


def many_closed_half_read(m, d):
    """The kernel keeps what it listed whole; so far nobody did so here."""
    fds = [opened(d) for _ in range(AHEAD_MAX + 8)]
    told = max((names(some(fd)) for fd in fds), key=len)
    m.comes_to("only so many again", lambda n, ahead: ahead == AHEAD_MAX)
    for fd in fds:
        os.close(fd)
    m.knows_just("nothing stays again", d, told)


def left_half_read(m, d):
    """Who reads on gets the place of one that nobody asked for; all go on as they began."""
    fds = [opened(d) for _ in range(AHEAD_MAX)]
    begun = [some(fd) for fd in fds]
    m.comes_to("all places are taken", lambda n, ahead: ahead == AHEAD_MAX)
    time.sleep(AHEAD_IDLE + 0.2)
    fds.append(opened(d))
    begun.append(some(fds[-1]))
    pins = [pinned(f"{d}/{name}") for name in max(map(names, begun), key=len)]
    known = m.known()[0]
    # What came and what was prepared is what others have, too; the next is not.
    begun[-1] += some(fds[-1])
    m.comes_to("one is given up", lambda n, ahead: ahead == AHEAD_MAX and n > known)
    for fd, begin in zip(fds, begun):
        assert names(begin + rest(fd)) == NAMES[9000:12000]
        os.close(fd)
    for pin in pins:
        os.close(pin)
    m.knows_just("nothing stays of those", d, NAMES[9000:12000])


def changes_hands(m, d):
    """Whoever has it then knows what the kernel was told, and the listings go on where they were."""
    fd = opened(d)
    begin = some(fd)
    m.comes_to("the next answer is prepared once more", lambda n, ahead: ahead == 1)
    handed = m.again()
    os.close(fd)
    if not handed:
        return
    m.knows_just("what was prepared was taken back before", d, names(begin))

    fds = [opened(d) for _ in range(AHEAD_MAX + 8)]
    begun = [some(fd, 2000 + 300 * i) for i, fd in enumerate(fds)]
    m.comes_to("some are prepared", lambda n, ahead: ahead == AHEAD_MAX)
    assert m.again()
    assert m.known()[1] == 0
    for fd, begin in zip(fds, begun):
        assert names(begin + rest(fd)) == NAMES[6000:9000]
        os.close(fd)
    m.knows_just("nothing stays over that", d, NAMES[6000:9000])


def branch_half_read(m, d):
    fd = opened(d)
    assert 0 < len(names(some(fd))) < 1000
    time.sleep(0.3)
    assert m.known()[1] == 0, "what may change is not prepared"
    os.close(fd)


def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, max(8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    m = Mount(*sys.argv[1:4])
    repo = sys.argv[3] + "/million"
    commit = repo + "/" + open(repo + "/master/.pfs/head").read().strip()
    m.start(*(f"{commit}/d000{i}" for i in range(4)), f"{repo}/master/d0000")
    closed_half_read(m, f"{commit}/d0000")
    read_from_anywhere(m, f"{commit}/d0000")
    many_at_once(m, f"{commit}/d0001")
    many_closed_half_read(m, f"{commit}/d0002")
    left_half_read(m, f"{commit}/d0003")
    changes_hands(m, f"{commit}/d0002")
    branch_half_read(m, f"{repo}/master/d0000")
    m.close()


main()
