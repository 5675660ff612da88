#!/usr/bin/env python3
"""Whoever works in a mount while its pfsd is started anew.

restart.py prepare DIR       makes what is there before.
restart.py hold DIR COMMIT   opens one of everything in DIR, the folder of a branch, and
                             looks at all of it each time it reads a line: "ok", or what
                             is wrong.
restart.py write DIR         writes and flushes until it is told to stop, then compares
                             all it wrote; one line of counts.
restart.py wait PATH         looks at PATH; the name of the error it gets.
"""
import errno
import fcntl
import mmap
import os
import signal
import subprocess
import sys
import threading
import time

BIG = 3 << 20


def must(what, is_so):
    if not is_so:
        raise AssertionError(what)


def told_alone(what, path):
    """As who asks for nothing else is told: access times, asked for too, make the kernel look."""
    return subprocess.check_output(["stat", "-c", what, path])


def within(seconds, is_so):
    """Whether it comes true, and was seen to, in that time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if is_so():
            return time.monotonic() < end
        time.sleep(0.02)
    return False


def prepare(top):
    for d in ("sub", "many", "moved.0"):
        os.makedirs(f"{top}/{d}")
    texts = {"kept": "kept\n" * 1000, "doomed": "doomed\n", "sub/x": "x\n", "moved.0/y": "y\n", "big": "b" * BIG, "big2": "b" * BIG}
    for name, text in texts.items():
        with open(f"{top}/{name}", "w") as f:
            f.write(text)
    os.symlink("kept", f"{top}/link")
    os.link(f"{top}/sub/x", f"{top}/hard")
    for i in range(3000):
        open(f"{top}/many/f{i:04}", "w").close()


class Held:
    """One of everything that can be open."""

    def __init__(self, top, commit):
        self.top = top
        self.round = 0
        self.read = open(f"{top}/kept", "rb", buffering=0)
        self.committed = open(f"{commit}/kept", "rb", buffering=0)
        self.new = os.open(f"{top}/new", os.O_RDWR | os.O_CREAT, 0o640)
        self.patched = os.open(f"{top}/big", os.O_RDWR)
        self.append = os.open(f"{top}/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.follow = open(f"{top}/log", "rb", buffering=0)
        self.written = b""
        self.gone = self.unlinked("gone", b"without a name")
        self.gone_kept = os.open(f"{top}/doomed", os.O_RDONLY)
        os.unlink(f"{top}/doomed")
        self.gone_big = os.open(f"{top}/big2", os.O_RDWR)
        os.pwrite(self.gone_big, b"patch", 2 << 20)
        os.unlink(f"{top}/big2")
        self.tmp = os.open(top, os.O_TMPFILE | os.O_RDWR, 0o600)
        os.write(self.tmp, b"never had one")
        self.map_shared()
        self.open_past(commit)
        self.map = mmap.mmap(self.read.fileno(), 0, prot=mmap.PROT_READ)
        self.listing = os.open(f"{top}/many", os.O_RDONLY | os.O_DIRECTORY)
        self.scan = os.scandir(f"{top}/many")
        self.seen = [next(self.scan).name for _ in range(100)]
        # Of a commit more is prepared than was asked for.
        self.fixed = os.scandir(f"{commit}/many")
        self.fixed_seen = [next(self.fixed).name for _ in range(100)]
        self.start_child()
        self.lock = os.open(f"{top}/locked", os.O_RDWR | os.O_CREAT)
        fcntl.lockf(self.lock, fcntl.LOCK_EX, 10, 5)
        self.flock = os.open(f"{top}/flocked", os.O_RDWR | os.O_CREAT)
        fcntl.flock(self.flock, fcntl.LOCK_EX)
        self.stats = {n: os.lstat(f"{top}/{n}") for n in ("kept", "sub/x", "link", "hard")}
        self.status = open(f"{top}/.pfs/head", "rb", buffering=0)
        self.head = self.status.read()

    def unlinked(self, name, data):
        fd = os.open(f"{self.top}/{name}", os.O_RDWR | os.O_CREAT)
        os.write(fd, data)
        os.unlink(f"{self.top}/{name}")
        return fd

    def map_shared(self):
        self.shared_fd = os.open(f"{self.top}/shared", os.O_RDWR | os.O_CREAT)
        os.ftruncate(self.shared_fd, 65536)
        try:
            self.shared = mmap.mmap(self.shared_fd, 65536)
        except OSError as e:
            must(f"a file can be mapped: {e}", e.errno == errno.ENODEV)
            self.shared = None

    def open_past(self, commit):
        """Files that are written without a request, or past what the kernel has cached."""
        self.stored = []
        for i in range(6 if self.shared else 0):
            with open(f"{self.top}/stored{i}", "wb") as f:
                f.write(bytes(8192))
            fd = os.open(f"{self.top}/stored{i}", os.O_RDWR)
            self.stored.append((f"{self.top}/stored{i}", fd, mmap.mmap(fd, 8192)))
        for name in ("direct", "copied"):
            os.close(os.open(f"{self.top}/{name}", os.O_WRONLY | os.O_CREAT))
        self.direct = {"direct": os.open(f"{self.top}/direct", os.O_WRONLY | os.O_DIRECT)}
        # Who reads a large committed file may be copying it: what he writes comes as requests.
        with open(f"{commit}/big", "rb"):
            self.direct["copied"] = os.open(f"{self.top}/copied", os.O_WRONLY | os.O_DIRECT)

    def start_child(self):
        """Somebody who stands in a directory, and somebody in one that is gone."""
        os.mkdir(f"{self.top}/leaving")
        self.standing = os.open(f"{self.top}/sub", os.O_PATH | os.O_DIRECTORY)
        self.left = os.open(f"{self.top}/leaving", os.O_RDONLY | os.O_DIRECTORY)
        os.rmdir(f"{self.top}/leaving")

    def look(self):
        self.round += 1
        n = self.round
        self.look_at_reading()
        self.look_at_writing(n)
        self.look_at_nameless(n)
        self.look_at_directories()
        self.look_at_locks()
        self.look_at_names(n)
        must("a control file says what it said", os.pread(self.status.fileno(), 99, 0) == self.head)

    def look_at_reading(self):
        self.read.seek(0)
        must("an open file reads", self.read.read() == b"kept\n" * 1000)
        self.committed.seek(0)
        must("an open committed file reads", self.committed.read() == b"kept\n" * 1000)
        must("a map reads", self.map[-5:] == b"kept\n")

    def look_at_writing(self, n):
        line = b"line %d\n" % n
        os.pwrite(self.new, line, n * 100)
        must("what was written reads", os.pread(self.new, len(line), n * 100) == line)
        must("what was written before reads", n < 2 or os.pread(self.new, 5, 100) == b"line ")
        os.fsync(self.new)
        os.pwrite(self.patched, line, n * 4096)
        must("a patch reads", os.pread(self.patched, len(line), n * 4096) == line)
        must("what is not patched reads", os.pread(self.patched, 4, BIG - 4) == b"bbbb")
        os.write(self.append, line)
        self.written += line
        self.follow.seek(0)
        must("who follows a log sees all of it", self.follow.read() == self.written)
        with open(f"{self.top}/log", "rb") as f:
            must("so does who opens it now", f.read() == self.written)
        if self.shared:
            self.shared[n] = n % 256
            self.shared.flush()
            must("a shared map is the file", os.pread(self.shared_fd, 1, n) == bytes([n % 256]))

    def look_at_nameless(self, n):
        os.pwrite(self.gone, b"%6d" % n, 100)
        must("an unlinked file reads", os.pread(self.gone, 14, 0) == b"without a name")
        must("... what was written last", os.pread(self.gone, 6, 100) == b"%6d" % n)
        must("an unlinked committed one reads", os.pread(self.gone_kept, 7, 0) == b"doomed\n")
        must("an unlinked patched one reads", os.pread(self.gone_big, 6, (2 << 20) - 1) == b"bpatch")
        must("one that never had a name reads", os.pread(self.tmp, 13, 0) == b"never had one")
        must("they have no names", os.fstat(self.gone).st_nlink == 0)
        with open(f"/proc/self/fd/{self.gone}", "rb") as f:
            must("it can be opened again", f.read(14) == b"without a name")

    def look_at_directories(self):
        must("who stands in a directory finds things",
             os.stat("x", dir_fd=self.standing).st_size == 2)
        must("an open directory lists", len(os.listdir(self.listing)) == 3000)
        try:
            must("a removed directory is empty", os.listdir(self.left) == [])
        except FileNotFoundError:
            pass

    def look_at_locks(self):
        pid = os.fork()
        if pid == 0:
            status = 0
            try:
                fd = os.open(f"{self.top}/locked", os.O_RDWR)
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 7)
                status |= 1
            except OSError:
                pass
            try:
                fd = os.open(f"{self.top}/flocked", os.O_RDWR)
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                status |= 2
            except OSError:
                pass
            os._exit(status)
        must("locks are held", os.waitpid(pid, 0)[1] == 0)

    def look_at_names(self, n):
        for name, was in self.stats.items():
            now = os.lstat(f"{self.top}/{name}")
            must(f"{name} is what it was", (now.st_mode, now.st_size, now.st_nlink, now.st_mtime) ==
                 (was.st_mode, was.st_size, was.st_nlink, was.st_mtime))
            # Those with several names get another number by their commit.
            must(f"{name} has its number", now.st_nlink > 1 or now.st_ino == was.st_ino)
        must("names of one file are", os.path.samefile(f"{self.top}/sub/x", f"{self.top}/hard"))
        os.rename(f"{self.top}/moved.{n - 1}", f"{self.top}/moved.{n}")
        with open(f"{self.top}/moved.{n}/y") as f:
            must("below what was renamed it reads", f.read() == "y\n")
        must("what is not there is not there", not os.path.exists(f"{self.top}/moved.{n - 1}"))

    def say(self):
        """Half a message: nobody may fork now, since every close commits."""
        self.message = os.open(f"{self.top}/.pfs/commit", os.O_RDWR)
        os.write(self.message, b"a message in two ")

    def past(self):
        self.look_at_times()
        self.look_at_set_id()

    def look_at_times(self):
        """What is stored is told a second later while the file is open, and when it is closed at once."""
        if not self.stored:
            return
        time.sleep(1.2)  # what the kernel was told is not believed any longer
        path, fd, stored = self.stored.pop()
        then = told_alone("%.9Y", path)
        time.sleep(0.02)
        stored[0] = 1
        must("stat tells of what is stored", within(5, lambda: told_alone("%.9Y", path) > then))
        for path, fd, stored in self.stored:
            start = time.monotonic()
            then = told_alone("%.9Y", path)
            time.sleep(0.02)
            stored[0] = 1
            stored.close()
            os.close(fd)
            if within(start + 0.9 - time.monotonic(), lambda: told_alone("%.9Y", path) > then):
                return
        must("a file that is closed has its time at once", False)

    def look_at_set_id(self):
        """Who may not set them takes them away by a direct write, and nobody is told that they are there."""
        for name, fd in self.direct.items():
            os.chmod(f"{self.top}/{name}", 0o4777)
            must("it has the bit", told_alone("%a", f"{self.top}/{name}") == b"4777\n")
            if os.fork() == 0:
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
                os._exit(os.pwritev(fd, [mmap.mmap(-1, 4096)], 0) != 4096)
            must("somebody writes", os.wait()[1] == 0)
            must(f"{name}: and the bit is gone", within(5, lambda: told_alone("%a", f"{self.top}/{name}") == b"777\n"))

    def end(self):
        """A listing begun before all of it goes on where it was, and a message is committed whole."""
        for name in os.listdir(f"{self.top}/many"):
            if name not in self.seen and name.endswith("7"):
                os.unlink(f"{self.top}/many/{name}")
        rest = [e.name for e in self.scan]
        names = self.seen + rest
        must("every name once", len(names) == len(set(names)))
        must("a listing goes on",
             set(names) >= {f"f{i:04}" for i in range(3000) if i % 10 != 7})
        fixed = self.fixed_seen + [e.name for e in self.fixed]
        must("and that of a commit", sorted(fixed) == [f"f{i:04}" for i in range(3000)])
        # With a descriptor Python takes linkat(2), which follows.
        os.link(f"/proc/self/fd/{self.tmp}", f"{self.top}/named", src_dir_fd=self.standing)
        with open(f"{self.top}/named") as f:
            must("it has a name now", f.read() == "never had one")
        os.write(self.message, b"parts\n")
        os.close(self.message)
        with open(f"{self.top}/.pfs/log") as f:
            must("the message was committed", "a message in two parts" in f.readline())


def hold(top, commit):
    held = Held(top, commit)
    print("ready", flush=True)
    for line in sys.stdin:
        try:
            {"look": held.look, "past": held.past, "say": held.say, "end": held.end}[line.strip()]()
            print("ok", flush=True)
            if line.strip() == "end":
                return
        except Exception as e:  # whatever it is, the story has to hear of it
            print(f"round {held.round}: {type(e).__name__}: {e}", flush=True)


def write(top):
    """Three writers, one of files of their own, one of one file, one of names."""
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    os.makedirs(top, exist_ok=True)
    counts = [0, 0, 0]
    wrong = []

    def guarded(run, i):
        try:
            while not over.is_set():
                run(counts[i])
                counts[i] += 1
        except Exception as e:
            wrong.append(f"{run.__name__} {counts[i]}: {type(e).__name__}: {e}")
            over.set()

    def files(n):
        data = b"%d\n" % n * (1 + n % 3000)
        fd = os.open(f"{top}/f{n % 50}", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.write(fd, data)
        if n % 8 == 0:
            os.fsync(fd)
        os.close(fd)
        with open(f"{top}/f{n % 50}", "rb") as f:
            must("reads as written", f.read() == data)

    one = os.open(f"{top}/one", os.O_RDWR | os.O_CREAT)

    def blocks(n):
        data = b"%08d" % n * 512
        os.pwrite(one, data, (n % 64) * 4096)
        if n % 16 == 0:
            os.fsync(one)
        must("a block reads", os.pread(one, 4096, (n % 64) * 4096) == data)

    def names(n):
        os.mkdir(f"{top}/d{n}")
        os.symlink("nowhere", f"{top}/d{n}/s")
        os.rename(f"{top}/d{n}", f"{top}/e{n}")
        must("a link reads", os.readlink(f"{top}/e{n}/s") == "nowhere")
        os.unlink(f"{top}/e{n}/s")
        os.rmdir(f"{top}/e{n}")
        must("it is gone", not os.path.lexists(f"{top}/e{n}"))

    threads = [threading.Thread(target=guarded, args=(run, i))
               for i, run in enumerate((files, blocks, names))]
    for t in threads:
        t.start()
    print("ready", flush=True)
    for t in threads:
        t.join()
    for i in range(min(64, counts[1])):
        last = counts[1] - 1 - (counts[1] - 1 - i) % 64
        if os.pread(one, 8, i * 4096) != b"%08d" % last:
            wrong.append(f"block {i} is not that of {last}")
    print(*(wrong or [f"ok {counts[0]} {counts[1]} {counts[2]}"]), flush=True)
    sys.exit(bool(wrong))


def wait(path):
    try:
        os.statvfs(path)
        print("ok")
    except OSError as e:
        print(errno.errorcode[e.errno])


if __name__ == "__main__":
    {"prepare": prepare, "hold": hold, "write": write, "wait": wait}[sys.argv[1]](*sys.argv[2:])
