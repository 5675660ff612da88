"""What several processes expect of one file system: posix.sh runs one claim at a
time in a folder of a branch, `posix.py CLAIM`. Each ends with an error when it
does not hold. `commit()` commits the branch from inside."""

import ctypes, errno, fcntl, mmap, os, random, signal, sqlite3, struct, subprocess, sys, time

M = 1 << 20
BRANCH = os.environ["BRANCH"]


def commit(message="meanwhile"):
    with open(BRANCH + "/.pfs/commit", "w") as f:
        f.write(message)
    with open(BRANCH + "/.pfs/commit") as f:
        return f"{BRANCH}/../{f.read().strip()}"


def committed(folder, path):
    return f"{folder}/{os.path.relpath(path, BRANCH)}"


class Other:
    """Another process that runs `work(step)`, where step() waits for each go() of ours."""

    def __init__(self, work):
        down, up = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                def step():
                    os.write(up[1], b".")
                    if os.read(down[0], 1) != b"g":
                        os._exit(9)
                os.close(down[1])
                work(step)
                status = 0
            except BaseException as e:
                print("the other process:", repr(e), flush=True)
            os._exit(status)
        os.close(up[1])
        os.close(down[0])
        self.down, self.up = down[1], up[0]

    def reached(self):
        assert os.read(self.up, 1) == b".", "the other process ended early"

    def go(self):
        os.write(self.down, b"g")

    def end(self, how=0):
        os.close(self.down)
        _, status = os.waitpid(self.pid, 0)
        os.close(self.up)
        assert status == how, f"the other process ended with {status}"


def refused(number, call, *args):
    try:
        call(*args)
    except OSError as e:
        assert e.errno == number, errno.errorcode[e.errno]
    else:
        raise AssertionError("it was allowed")


def opened(path, flags=os.O_RDWR | os.O_CREAT):
    return os.open(path, flags, 0o644)


# ---- locks ----

def record_locks():
    fd = opened("locked")
    os.write(fd, bytes(100))

    def work(step):
        fd = opened("locked")
        fcntl.lockf(fd, fcntl.LOCK_EX, 10, 0)
        step()
        fcntl.lockf(fd, fcntl.LOCK_UN, 10, 0)
        fcntl.lockf(fd, fcntl.LOCK_SH, 10, 50)
        step()

    other = Other(work)
    other.reached()
    refused(errno.EAGAIN, fcntl.lockf, fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 9)
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 10)
    asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, start, n, pid = struct.unpack("hhqqi4x", fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    assert (kind, start, n, pid) == (fcntl.F_WRLCK, 0, 10, other.pid), (kind, start, n, pid)
    other.go()
    other.reached()
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 0)
    fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB, 10, 50)
    refused(errno.EAGAIN, fcntl.lockf, fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 50)
    commit()
    refused(errno.EAGAIN, fcntl.lockf, fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 50)
    os.kill(other.pid, signal.SIGKILL)
    other.end(signal.SIGKILL)
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 50)


def waiting_for_a_lock():
    fd = opened("waited")
    fcntl.lockf(fd, fcntl.LOCK_EX)

    def work(step):
        fd = opened("waited")
        step()
        fcntl.lockf(fd, fcntl.LOCK_EX)
        assert os.pread(fd, 4, 0) == b"done"

    other = Other(work)
    other.reached()
    other.go()
    time.sleep(0.2)
    assert os.waitpid(other.pid, os.WNOHANG) == (0, 0), "it did not wait"
    os.write(fd, b"done")
    fcntl.lockf(fd, fcntl.LOCK_UN)
    other.end()


def whole_file_locks():
    fd = opened("flocked")

    def work(step):
        fd = opened("flocked")
        fcntl.flock(fd, fcntl.LOCK_SH)
        step()
        fcntl.flock(fd, fcntl.LOCK_EX)
        step()

    other = Other(work)
    other.reached()
    fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    refused(errno.EAGAIN, fcntl.flock, fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(fd, fcntl.LOCK_UN)
    other.go()
    other.reached()
    refused(errno.EAGAIN, fcntl.flock, fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    other.go()
    other.end()
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def locks_of_open_files():
    """F_OFD_SETLK: of the open file, not of the process."""
    a, b = opened("ofd"), opened("ofd")
    lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    fcntl.fcntl(a, 37, lock)
    refused(errno.EAGAIN, fcntl.fcntl, b, 37, lock)
    os.close(a)
    fcntl.fcntl(b, 37, lock)


def sqlite(mode):
    rounds, path = 60, f"db-{mode}"

    def connect():
        db = sqlite3.connect(path, timeout=60, isolation_level=None)
        got = db.execute(f"PRAGMA journal_mode={mode}").fetchone()[0]
        assert got == mode, got
        return db

    def count(db):
        for i in range(rounds):
            db.execute("BEGIN IMMEDIATE")
            n, = db.execute("SELECT n FROM t").fetchone()
            db.execute("UPDATE t SET n = ?", (n + 1,))
            db.execute("INSERT INTO log VALUES(?, ?)", (os.getpid(), os.urandom(500)))
            db.execute("COMMIT")

    db = connect()
    db.execute("CREATE TABLE t(n)")
    db.execute("INSERT INTO t VALUES(0)")
    db.execute("CREATE TABLE log(pid, noise)")
    db.close()
    others = [Other(lambda step: count(connect())) for _ in range(2)]
    db = connect()
    for i in range(3):
        commit()
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    count(db)
    for o in others:
        o.end()
    assert db.execute("SELECT n FROM t").fetchone()[0] == 3 * rounds
    assert db.execute("SELECT count(*) FROM log").fetchone()[0] == 3 * rounds
    db.close()
    folder = commit("at rest")
    db = sqlite3.connect(f"file:{committed(folder, os.path.abspath(path))}?immutable=1", uri=True)
    assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert db.execute("SELECT n FROM t").fetchone()[0] == 3 * rounds


def sqlite_with_a_rollback_journal():
    sqlite("delete")


def sqlite_with_a_write_ahead_log():
    sqlite("wal")


# ---- writing ----

def append(path, size):
    record, each, n = b"%-63d\n", 400, 4

    def work(number):
        def run(step):
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            for i in range(each):
                assert os.write(fd, record % (number * each + i)) == 64
        return run

    others = [Other(work(i)) for i in range(n)]
    commit()
    commit()
    for o in others:
        o.end()
    with open(path, "rb") as f:
        f.seek(size)
        lines = f.read()
    assert len(lines) == 64 * each * n, len(lines)
    got = [int(lines[i:i + 64]) for i in range(0, len(lines), 64)]
    assert sorted(got) == list(range(each * n))
    for i in range(n):  # each writer's in its order
        mine = [x for x in got if x // each == i]
        assert mine == sorted(mine)


def appending_to_a_new_file():
    append("appended", 0)


def appending_to_a_committed_file():
    with open("grown", "wb") as f:
        f.write(os.urandom(64) * (3 * M // 64))
    commit()
    append("grown", 3 * M)


def aligned(n, byte):
    m = mmap.mmap(-1, n)
    m.write(byte * n)
    return m


def direct_io():
    block = aligned(M, b"d")
    fd = opened("direct", os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    assert os.pwritev(fd, [block], 0) == M
    assert os.pwritev(fd, [aligned(4096, b"e")], 8192) == 4096
    with open("direct", "rb") as f:
        want = f.read()
    assert want == b"d" * 8192 + b"e" * 4096 + b"d" * (M - 12288)
    got = aligned(M, b"-")
    for path in "direct", committed(commit(), os.path.abspath("direct")):
        d = os.open(path, os.O_RDONLY | os.O_DIRECT)
        assert os.preadv(d, [got], 0) == M and got[:] == want, path
    # Committed and large: what is written directly is seen through the cache, and the other way round.
    with open("big", "wb") as f:
        f.write(bytes(4 * M))
    commit()
    a, b = os.open("big", os.O_RDWR), os.open("big", os.O_RDWR | os.O_DIRECT)
    assert os.pread(a, 4, M) == bytes(4)
    assert os.pwritev(b, [aligned(4096, b"x")], M) == 4096
    assert os.pread(a, 4, M) == b"xxxx"
    os.pwrite(a, b"yyyy", M)
    page = aligned(4096, b"-")
    assert os.preadv(b, [page], M) == 4096 and page[:5] == b"yyyyx"


def mapped(size):
    """Two processes share a mapping while the branch is committed."""
    with open("mapped", "wb") as f:
        f.write(b"a" * size)
    if size > M:
        commit()
    fd = opened("mapped")
    m = mmap.mmap(fd, size)

    def work(step):
        fd = opened("mapped")
        m = mmap.mmap(fd, size)
        os.close(fd)
        m[0:5] = b"other"
        step()
        assert m[100:105] == b"first"
        m[200:206] = b"second"
        m.flush()
        step()

    other = Other(work)
    other.reached()
    assert m[0:5] == b"other"
    m[100:105] = b"first"
    m.flush()
    one = commit("one")
    other.go()
    other.reached()
    assert m[200:206] == b"second"
    m[size - 4:size] = b"last"
    m.flush()
    two = commit("two")
    other.go()
    other.end()
    m.close()
    os.close(fd)
    want = bytearray(b"a" * size)
    want[0:5], want[100:105] = b"other", b"first"
    with open(committed(one, os.path.abspath("mapped")), "rb") as f:
        assert f.read() == want
    want[200:206], want[size - 4:size] = b"second", b"last"
    for path in committed(two, os.path.abspath("mapped")), "mapped":
        with open(path, "rb") as f:
            assert f.read() == want, path


def shared_mappings_of_a_new_file():
    mapped(64 * 1024)


def shared_mappings_of_a_committed_file():
    mapped(3 * M)


def told_alone(what, path):
    """As who asks for nothing else is told: access times, asked for too, make the kernel look."""
    return subprocess.check_output(["stat", "-c", what, path])


def within_a_second(what):
    for _ in range(40):
        if what():
            return
        time.sleep(0.05)
    raise AssertionError("not within two seconds")


def times_of_a_mapped_file(size):
    """What is stored is no request, and stat(2) tells of it when it has to: after a close at the latest."""
    with open("stored", "wb") as f:
        f.write(b"s" * size)
    if size > M:
        commit()
    for page in 0, 4096:
        time.sleep(1.2)  # so that the kernel believes what it is told now for as long as it may
        then = told_alone("%.9Y", "stored")
        time.sleep(0.05)
        fd = opened("stored")
        with mmap.mmap(fd, size) as m:
            m[page] = 1
            if page:
                m.flush()
                within_a_second(lambda: told_alone("%.9Y", "stored") > then)
        os.close(fd)
        within_a_second(lambda: told_alone("%.9Y", "stored") > then)


def times_of_a_new_mapped_file():
    times_of_a_mapped_file(64 * 1024)


def times_of_a_committed_mapped_file():
    times_of_a_mapped_file(3 * M)


def private_mappings_of_a_commit():
    with open("private", "wb") as f:
        f.write(b"p" * 2 * M)
    path = committed(commit(), os.path.abspath("private"))
    fd = os.open(path, os.O_RDONLY)
    m = mmap.mmap(fd, 2 * M, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    m[0:3] = b"xyz"
    assert m[0:5] == b"xyzpp" and os.pread(fd, 5, 0) == b"ppppp"
    m = mmap.mmap(fd, 2 * M, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
    assert m[M:M + 3] == b"ppp"


# ---- what is durable: the story kills pfsd behind these, and runs the second half after ----

SYNCS = {"sync": os.O_SYNC, "dsync": os.O_DSYNC}


def write_synchronously():
    """New files, a small committed one and a large one, each with one write and no fsync."""
    for name, size in ("small", 5), ("large", 3 * M):
        for how in SYNCS:
            with open(f"{name}-{how}", "wb") as f:
                f.write(b"b" * size)
    commit()
    for name in "new", "small", "large":
        for how, flag in SYNCS.items():
            fd = os.open(f"{name}-{how}", os.O_RDWR | os.O_CREAT | flag, 0o644)
            assert os.pwrite(fd, b"safe", 0) == 4
    fd = opened("new-rwf")
    os.fsync(fd)
    assert os.pwritev(fd, [b"safe"], 0, os.RWF_DSYNC) == 4
    print("written", flush=True)
    time.sleep(600)


def what_was_written_synchronously_is_there():
    for name in [f"{n}-{h}" for n in ("new", "small", "large") for h in SYNCS] + ["new-rwf"]:
        with open(name, "rb") as f:
            assert f.read(4) == b"safe", name


# ---- everything at random ----

libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
KEEP, PUNCH, ZERO = 1, 2, 16


class Twins:
    """Two files of the mount and two local ones that everything is done to alike."""

    MAX = 6 * M

    def __init__(self, rng):
        self.rng = rng
        self.local = os.environ["LOCAL"]
        self.names = ["twin-a", "twin-b"]
        for name in self.names:
            for folder in self.folders():
                with open(f"{folder}/{name}", "wb"):
                    pass

    def folders(self):
        return ".", self.local

    def each(self, work):
        """work(fd, other_fd) here and there gives the same."""
        a, b = self.rng.sample(self.names, 2) if self.rng.random() < 0.3 else [self.rng.choice(self.names)] * 2
        got = []
        for folder in self.folders():
            fds = [os.open(f"{folder}/{n}", os.O_RDWR) for n in (a, b)]
            try:
                got.append(work(*fds))
            except OSError as e:
                got.append(e.errno)
            for fd in fds:
                os.close(fd)
        assert got[0] == got[1], got

    def place(self):
        off = self.rng.randrange(self.MAX)
        return off, min(self.rng.choice((1, 100, 5000, 70000, 300000, 2 * M)), self.MAX - off)

    def write(self):
        off, n = self.place()
        data = self.rng.randbytes(n)
        self.each(lambda fd, _: os.pwrite(fd, data, off))

    def append(self):
        data = self.rng.randbytes(self.rng.randrange(5000))
        self.each(lambda fd, _: os.pwrite(fd, data, os.fstat(fd).st_size))

    def cut(self):
        size = self.rng.choice((0, 1, self.rng.randrange(self.MAX), self.rng.randrange(self.MAX)))
        self.each(lambda fd, _: os.ftruncate(fd, size))

    def allocate(self):
        (off, n), mode = self.place(), self.rng.choice((0, KEEP, PUNCH | KEEP, ZERO, ZERO | KEEP))
        self.each(lambda fd, _: libc.fallocate(fd, mode, off, n))

    def copy(self):
        (off, n), to = self.place(), self.rng.randrange(self.MAX)
        if self.rng.random() < 0.3:
            off, n, to = 0, self.MAX * 2, 0

        def work(fd, other):
            done = 0
            while True:
                got = os.copy_file_range(fd, other, n - done, off + done, to + done)
                done += got
                if got == 0 or done == n:
                    return done

        self.each(work)

    def map(self):
        off, n = self.place()
        data = self.rng.randbytes(n)

        def work(fd, _):
            size = os.fstat(fd).st_size
            if size == 0:
                return 0
            at, end = min(off, size), min(off + n, size)
            with mmap.mmap(fd, size) as m:
                m[at:end] = data[:end - at]
            return end

        self.each(work)

    def swap(self):
        if self.rng.random() < 0.5:
            for folder in self.folders():
                os.rename(f"{folder}/twin-a", f"{folder}/twin-c")
                os.rename(f"{folder}/twin-b", f"{folder}/twin-a")
                os.rename(f"{folder}/twin-c", f"{folder}/twin-b")
        else:
            commit()

    def compare(self, folder="."):
        for name in self.names:
            with open(f"{folder}/{name}", "rb") as a, open(f"{self.local}/{name}", "rb") as b:
                assert a.read() == b.read(), f"{folder}/{name} differs"
            fd, at = os.open(f"{folder}/{name}", os.O_RDONLY), 0
            size = os.fstat(fd).st_size
            while at < size:  # what is no data is zeros
                try:
                    data = os.lseek(fd, at, os.SEEK_DATA)
                except OSError as e:
                    assert e.errno == errno.ENXIO
                    data = size
                assert not os.pread(fd, data - at, at).strip(b"\0"), (name, at, data)
                at = os.lseek(fd, data, os.SEEK_HOLE) if data < size else size
            os.close(fd)


def whatever_is_done_is_done_as_on_a_local_disk():
    for seed in range(int(os.environ.get("SEEDS", "2"))):
        rng = random.Random(seed)
        t = Twins(rng)
        doings = [t.write] * 4 + [t.append, t.cut, t.allocate, t.copy, t.copy, t.map, t.swap, t.swap]
        done = []
        try:
            for i in range(150):
                done.append(rng.choice(doings))
                done[-1]()
                if i % 5 == 0:
                    t.compare()
            t.compare(committed(commit(), os.getcwd()))
        except BaseException:
            print("seed", seed, [d.__name__ for d in done])
            raise


# ---- attributes ----

def access_times():
    """One that was set is told until it is set anew; reading and writing leave it alone."""
    makers = {"file": lambda p: os.close(opened(p)), "folder": os.mkdir, "fifo": os.mkfifo,
              "link": lambda p: os.symlink("text", p)}
    for path, make in makers.items():
        path = "accessed " + path
        make(path)
        before = os.lstat(path)
        assert before.st_atime_ns == before.st_mtime_ns, path
        os.utime(path, ns=(1_900_000_000_123_456_789, -1_000_000_001), follow_symlinks=False)
        now = os.lstat(path)
        assert (now.st_atime_ns, now.st_mtime_ns) == (1_900_000_000_123_456_789, -1_000_000_001), path
        assert now.st_ctime_ns >= before.st_ctime_ns, path
    with open("read", "w") as f:
        f.write("text")
    os.utime("read", (5, 7))
    with open("read") as f:
        assert f.read() == "text"
    with open("read", "a") as f:
        f.write("more")
    now = os.stat("read")
    assert now.st_atime == 5 and now.st_mtime > 7
    was = os.stat(committed(commit(), os.path.abspath("read")))
    assert was.st_atime_ns == was.st_mtime_ns == now.st_mtime_ns


def mode(path):
    return os.stat(path).st_mode & 0o7777


def becomes(path, wanted, seconds=3):
    end = time.monotonic() + seconds
    while mode(path) != wanted:
        assert time.monotonic() < end, f"{path}: {mode(path):o} and not {wanted:o}"
        time.sleep(0.05)


def as_nobody(work):
    def run(step):
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        work(step)
    return Other(run)


def set_id_bits_and_who_writes():
    def write(step):
        fd = os.open("set-id", os.O_WRONLY)
        os.write(fd, b"x")
        assert os.fstat(fd).st_mode & 0o7777 == 0o777

    def write_past_the_cache(step):
        fd = os.open("set-id", os.O_WRONLY | os.O_DIRECT)
        assert os.pwritev(fd, [aligned(4096, b"d")], 0) == 4096

    def write_late(step):
        fd = os.open("late", os.O_WRONLY)
        os.write(fd, b"x")
        step()
        os.write(fd, b"y")

    os.umask(0)
    for bits in 0o4777, 0o2777, 0o6777:
        opened("set-id")
        os.chmod("set-id", bits)
        as_nobody(write).end()
        assert mode("set-id") == 0o777
        os.unlink("set-id")

        os.close(opened("set-id"))
        os.chmod("set-id", bits)
        time.sleep(1.2)  # so that the kernel believes what it is told now for as long as it may
        assert mode("set-id") == bits
        as_nobody(write_past_the_cache).end()
        assert told_alone("%a", "set-id") == b"777\n"
        os.unlink("set-id")

    # Opened when there was nothing to clear.
    os.close(opened("late"))
    os.chmod("late", 0o666)
    other = as_nobody(write_late)
    other.reached()
    os.chmod("late", 0o4777)
    assert mode("late") == 0o4777
    other.go()
    other.end()
    becomes("late", 0o777)
    assert mode(committed(commit(), os.path.abspath("late"))) == 0o777


def set_id_bits_and_who_changes_without_a_write():
    """fallocate(2) and copy_file_range(2), which may share what it copies."""
    def allocate(how):
        def work(step):
            with open("set-id", "r+b") as f:
                assert libc.fallocate(f.fileno(), how, 0, 4096) == 0
        return work

    def copy(step):
        size = os.stat("large").st_size
        with open("large", "rb") as f, os.fdopen(os.open("set-id", os.O_WRONLY), "wb") as to:
            assert os.copy_file_range(f.fileno(), to.fileno(), size) == size

    os.umask(0)
    with open("large", "wb") as f:
        f.write(os.urandom(2 << 20))
    commit()
    keep, punch, zero = 1, 2, 16
    for work in allocate(0), allocate(keep), allocate(keep | punch), allocate(zero), copy:
        os.close(opened("set-id"))
        os.chmod("set-id", 0o6777)
        work(None)
        assert mode("set-id") == 0o6777
        as_nobody(work).end()
        becomes("set-id", 0o777)
        os.unlink("set-id")


def set_id_bits_and_who_gives_away():
    """chown(2) by somebody else than root takes them, whatever has them, but of a folder."""
    makers = {"a file": (lambda p: os.close(opened(p)), 0o555), "a fifo": (os.mkfifo, 0o555),
              "a device": (lambda p: os.mknod(p, 0o20600, os.makedev(1, 3)), 0o555),
              "a folder": (os.mkdir, 0o6555)}
    for path, (make, left) in makers.items():
        make(path)
        os.chown(path, 65534, 65534)
        os.chmod(path, 0o6555)
        as_nobody(lambda step: os.chown(path, 65534, 65534)).end()
        assert mode(path) == left, (path, oct(mode(path)))


def set_id_bits_of_what_is_installed():
    """As install(1), cp(1) and tar(1) make them."""
    os.umask(0)
    fd = opened("installed")
    os.write(fd, b"program")
    os.utime(fd, (5, 7))
    os.fchown(fd, 0, 0)
    os.fchmod(fd, 0o4755)
    os.close(fd)
    fd = os.open("made", os.O_WRONLY | os.O_CREAT, 0o6755)
    os.write(fd, b"program")
    os.close(fd)
    time.sleep(1.1)  # so that the kernel asks
    folder = commit()
    for path, wanted in ("installed", 0o4755), ("made", 0o6755):
        assert mode(path) == mode(committed(folder, os.path.abspath(path))) == wanted, path


# ---- limits ----

def what_is_free_is_what_the_disk_of_the_data_has():
    ours, disk = os.statvfs("."), os.statvfs(os.environ["DATA"])
    assert ours.f_namemax == 255
    assert ours.f_blocks * ours.f_frsize == disk.f_blocks * disk.f_frsize
    for a, b in (ours.f_bavail, disk.f_bavail), (ours.f_bfree, disk.f_bfree):
        assert abs(a * ours.f_frsize - b * disk.f_frsize) < disk.f_blocks * disk.f_frsize / 50
    assert ours.f_files == disk.f_files


def limits_are_told_by_their_names():
    fd = opened("limited")
    refused(errno.EFBIG, os.truncate, "limited", (1 << 46) + 1)
    refused(errno.EFBIG, os.pwrite, fd, b"x", 1 << 46)
    refused(errno.ENAMETOOLONG, os.mkdir, "n" * 256)
    os.mkdir("n" * 255)
    deep = os.getcwd()
    try:
        for depth in range(3000):
            os.mkdir("d")
            os.chdir("d")
    except OSError as e:
        assert e.errno == errno.EMLINK and depth > 2000, (e, depth)
    else:
        raise AssertionError("a path without an end")
    os.chdir(deep)


globals()[sys.argv[1]]()
