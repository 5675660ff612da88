"""The claims of limits.sh, one a function: limits.py CLAIM FOLDER [COMMIT'S FOLDER | NUMBER]"""
import errno
import hashlib
import json
import os
import resource
import sys
import time

ANY = [bytes([b]) for b in range(1, 256) if b not in b"/."]
NAMES = sorted(set([b"x" + b for b in ANY] + ANY + [b"-rf", b"--help", b"...", b" ", b"a\nb", b"\xff\xfe", b"\xc3\x28",
          b"\xed\xa0\x80", "ümläut".encode(), b"%2e%2e", b"\\", b"*?[a]{b}", b"\xf0\x9f\x98\x80" * 63 + b"abc", b"\xff" * 255,
          b"n" * 255]))


def names(top):
    """Names of any bytes, of files and of directories."""
    os.chdir(top)
    for n in NAMES:
        with open(n, "wb") as f:
            f.write(n)
        os.mkdir(b"d" + n[:254])
        with open(b"d" + n[:254] + b"/" + n, "wb") as f:
            f.write(n)
    names_are_there(top)
    refused = {b"n" * 256: errno.ENAMETOOLONG}
    for n, want in refused.items():
        try:
            os.mkdir(n)
        except OSError as e:
            assert e.errno == want, e
        else:
            raise AssertionError(n)


def names_are_there(top, *_):
    top = os.fsencode(top)
    assert sorted(os.listdir(top)) == sorted(NAMES + [b"d" + n[:254] for n in NAMES])
    for n in NAMES:
        for path in n, b"d" + n[:254] + b"/" + n:
            with open(top + b"/" + path, "rb") as f:
                assert f.read() == n, path


def names_in_json(_, lines):
    """What HTTP and the command line tell of them; lines is a file of JSON."""
    found = set()
    with open(lines, "rb") as f:
        for line in f:
            v = json.loads(line)
            found.add(bytes.fromhex(v["path_hex"]) if "path_hex" in v else v["path"].encode())
    found = {p.strip(b"/").split(b"/", 1)[1] for p in found}
    want = set(NAMES) | {b"d" + n[:254] for n in NAMES} | {b"d" + n[:254] + b"/" + n for n in NAMES}
    assert found == want, (sorted(found - want)[:5], sorted(want - found)[:5])


def down(top, steps):
    """Each time the descriptor of one directory deeper."""
    at = os.open(top, os.O_RDONLY)
    for s in steps:
        below = os.open(s, os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = below
    return at


# A path of a file in the branch of 4095 bytes.
LONG = ["p" * 254] * 16 + ["f" * 15]


def long_path(top):
    at = os.open(top, os.O_RDONLY)
    for s in LONG[:-1]:
        os.mkdir(s, dir_fd=at)
        below = os.open(s, os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = below
    assert len("/".join(LONG)) == 4095
    fd = os.open(LONG[-1], os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=at)
    os.write(fd, b"far away")
    os.close(fd)
    os.chdir(top)
    long_path_is_there(top)


def long_path_is_there(top, *_):
    at = down(top, LONG[:-1])
    fd = os.open(LONG[-1], os.O_RDONLY, dir_fd=at)
    assert os.read(fd, 100) == b"far away"
    os.chdir(top)
    here = os.open("/".join(LONG)[:4000].rsplit("/", 1)[0], os.O_RDONLY)
    assert os.listdir(here) == [LONG[0]]


def deep(top):
    """A thousand directories, one in another."""
    at = os.open(top, os.O_RDONLY)
    os.mkdir("top", dir_fd=at)
    os.chdir(top)
    os.chdir("top")
    for i in range(1000):
        os.mkdir("d")
        os.chdir("d")
    with open("bottom", "w") as f:
        f.write("here")
    os.chdir(top)
    os.rename("top", "renamed")
    deep_is_there(top)


def deep_is_there(top, *_):
    fd = os.open("bottom", os.O_RDONLY, dir_fd=down(top, ["renamed"] + ["d"] * 1000))
    assert os.read(fd, 10) == b"here"


def too_deep(top):
    os.chdir(top)
    for i in range(5000):
        try:
            os.mkdir("e")
        except OSError as e:
            assert e.errno == errno.EMLINK, e
            assert i > 1500
            return
        os.chdir("e")
    raise AssertionError("no end")


def many_links(top):
    """As many names of one file as there may be, then a clear error."""
    os.chdir(top)
    os.mkdir("links")
    os.chdir("links")
    with open("0", "w") as f:
        f.write("one")
    for i in range(1, 70000):
        try:
            os.link("0", str(i))
        except OSError as e:
            assert e.errno == errno.EMLINK, e
            break
    assert os.stat("0").st_nlink == i == 65000, i
    os.unlink("1")
    os.link("0", "again")


def many_links_are_there(top, *_):
    names = os.listdir(top + "/links")
    assert len(names) == 65000
    st = os.stat(top + "/links/again")
    assert st.st_nlink == 65000 and st.st_ino == os.stat(top + "/links/0").st_ino


def removed_while_listed(top, number):
    """Whoever lists while entries go sees each of those that stay, none twice, and no others."""
    os.mkdir(top + "/big")
    os.chdir(top + "/big")
    n = int(number)
    for i in range(n):
        os.close(os.open(f"entry{i}", os.O_WRONLY | os.O_CREAT, 0o644))
    if os.fork() == 0:
        for i in range(n):
            if i % 7:
                os.unlink(f"entry{i}")
        os._exit(0)
    stay = {f"entry{i}" for i in range(0, n, 7)}
    while True:
        gone = os.waitpid(-1, os.WNOHANG)[0]
        seen = [e.name for e in os.scandir(".")]
        assert len(set(seen)) == len(seen), "twice"
        assert stay <= set(seen), "one that stayed was not seen"
        if gone:
            break
    assert set(os.listdir(".")) == stay
    for name in os.scandir("."):
        os.unlink(name)
    os.chdir(top)
    os.rmdir("big")


def fork_each(n, work):
    """n processes, each with descriptors of its own; all of them have to succeed."""
    pids = []
    for i in range(n):
        pid = os.fork()
        if pid == 0:
            try:
                work(i)
            except BaseException as e:
                print(repr(e), flush=True)
                os._exit(1)
            os._exit(0)
        pids.append(pid)
    return pids


def open_files(top, number):
    """100,000 open files, several processes of `number` each; all of them for writing."""
    number = int(number)
    own = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (own, own))
    if number + 100 > own:
        number = own - 100
    processes = -(-100000 // number)
    os.mkdir(top + "/open")
    os.chdir(top + "/open")
    for i in range(number):
        with open(str(i), "wb") as f:
            f.write(b"%d" % i)
    ready, go = os.pipe(), os.pipe()

    def work(self):
        os.close(go[1])
        fds = [os.open(str(i), os.O_RDWR) for i in range(number)]
        os.write(ready[1], b"r")
        os.read(go[0], 1)
        for i, fd in enumerate(fds):
            # Another process may have written further back already.
            assert os.pread(fd, 20, 0).rstrip(b"\0") == b"%d" % i, i
        for fd in fds[self::processes]:
            os.pwrite(fd, b"again", 100)

    pids = fork_each(processes, work)
    got = 0
    while got < processes:
        assert os.waitpid(-1, os.WNOHANG)[0] == 0, "one ended early"
        got += len(os.read(ready[0], processes))
    print(f"{number * processes} open files of {number}", flush=True)
    with open(top + "/.pfs/commit", "w") as f:
        f.write("while they are open")
    with open("another", "w") as f:
        f.write("work goes on")
    assert len(os.listdir(".")) == number + 1
    os.close(go[1])
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    for i in range(number):
        with open(str(i), "rb") as f:
            assert f.read() == b"%d" % i + bytes(100 - len(str(i))) + b"again", i


def one_too_many(top, limit):
    """As many files as pfsd has descriptors: the ones too many are told so, nothing else suffers."""
    limit = int(limit)
    own = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (own, own))
    os.mkdir(top + "/many")
    os.chdir(top + "/many")

    def work(self):
        fds = []
        try:
            for i in range(limit // 2):
                fds.append(os.open(f"{self}.{i}", os.O_RDWR | os.O_CREAT, 0o644))
        except OSError as e:
            assert e.errno == errno.ENFILE, e
            print("refused", flush=True)
        for i, fd in enumerate(fds):
            os.write(fd, b"x")
        with open(top + "/.pfs/head") as f:
            f.read()
        time.sleep(1)

    for pid in fork_each(3, work):
        assert os.waitpid(pid, 0)[1] == 0
    with open("later", "w") as f:
        f.write("there is room again")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
