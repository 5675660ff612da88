"""The writers of kill9.sh, and who judges what is left of their work.

kill9.py write MNT NOTES SOCKET PFS SEED     until pfsd is gone
kill9.py judge MNT NOTES SOCKET PFS SEED     exits with a complaint; 0: of all rounds

NOTES has a JSON object a line, written only after what it says is so, but for
"begun": a commit that may be there or not. What a file holds is said by a seed,
a size, and patches (offset, length, seed), the later ones on top.
"""
import functools
import json
import os
import random
import subprocess
import sys
import threading

LARGE = 1 << 20  # from here on a committed file is changed in place


def stream(seed, size):
    """Bytes by number: not compressible, and quick to make."""
    return random.Random(seed).randbytes(size)


@functools.lru_cache(maxsize=100)
def made(seed, size, patches):
    data = bytearray(stream(seed, size))
    for off, length, patch_seed in patches:
        data[off:off + length] = stream(patch_seed, length)
    return bytes(data)


def content(spec):
    seed, size, patches = spec
    return made(seed, size, tuple(map(tuple, patches)))


class Notes:
    def __init__(self, path):
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.lock = threading.Lock()

    def add(self, **what):
        with self.lock:
            os.write(self.fd, (json.dumps(what) + "\n").encode())


class Writer(threading.Thread):
    """One branch, one thread: it alone knows what is in it."""

    def __init__(self, args, number, seed):
        super().__init__()
        self.mnt, self.notes, self.socket, self.pfs = args
        self.rng = random.Random(seed * 16 + number)
        self.branch = f"b{seed}-{number}"
        self.path = f"{self.mnt}/kept/{self.branch}"
        self.files = {}
        self.fault = None

    def run(self):
        try:
            os.mkdir(self.path)
            while True:
                self.step()
        except OSError:
            pass  # pfsd is gone
        except Exception as e:  # an error of ours must not look like that
            self.fault = repr(e)

    def number(self):
        return self.rng.getrandbits(48)

    def step(self):
        what = self.rng.random()
        large = [n for n, s in self.files.items() if s[1] >= LARGE and len(s[2]) < 20]
        if what < 0.60:
            self.write(f"d{self.rng.randrange(4)}/f{self.rng.randrange(40)}", self.rng.randrange(9000))
        elif what < 0.66:
            self.write(f"big{self.rng.randrange(3)}", LARGE + self.rng.randrange(2 * LARGE))
        elif what < 0.80 and large:
            self.patch(self.rng.choice(large))
        elif what < 0.84 and self.files:
            name = self.rng.choice(list(self.files))
            os.unlink(f"{self.path}/{name}")
            del self.files[name]
            self.notes.add(changed=self.branch, file=name)
        elif what < 0.94:
            self.synchronous(f"sync{self.rng.randrange(1 << 30)}")
        else:
            self.commit()

    def write(self, name, size):
        path = f"{self.path}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        spec = [self.number(), size, []]
        self.notes.add(changed=self.branch, file=name)
        with open(path, "wb") as f:
            f.write(content(spec))
            if self.rng.random() < 0.1:
                f.flush()
                os.fsync(f.fileno())
                self.notes.add(synced=self.branch, file=name, spec=spec)
        self.files[name] = spec

    def patch(self, name):
        seed, size, patches = self.files[name]
        length = self.rng.choice([1, 700, 70000])
        off = self.rng.randrange(size - length)
        spec = [seed, size, patches + [[off, length, self.number()]]]
        self.notes.add(changed=self.branch, file=name)
        fd = os.open(f"{self.path}/{name}", os.O_WRONLY)
        try:
            os.pwrite(fd, stream(spec[2][-1][2], length), off)
            if self.rng.random() < 0.3:
                os.fsync(fd)
                self.notes.add(synced=self.branch, file=name, spec=spec)
        finally:
            os.close(fd)
        self.files[name] = spec

    def synchronous(self, name):
        """Each write that returned is there, with no fsync after it."""
        spec = [self.number(), 5000, []]
        fd = os.open(f"{self.path}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_SYNC)
        try:
            os.write(fd, content(spec))
            self.notes.add(synced=self.branch, file=name, spec=spec)
        finally:
            os.close(fd)
        self.files[name] = spec

    def commit(self):
        self.notes.add(begun=self.branch, files=self.files)
        with open(f"{self.path}/.pfs/commit", "w") as f:
            f.write("a commit")
        with open(f"{self.path}/.pfs/commit") as f:
            self.notes.add(acked=self.branch, id=f.read().strip(), files=self.files)


class Collector(threading.Thread):
    """Repos come and go, and garbage with them."""

    def __init__(self, args, seed):
        super().__init__()
        self.mnt, self.notes, self.socket, self.pfs = args
        self.seed = seed
        self.fault = None

    def call(self, *words):
        return subprocess.run([self.pfs, "--socket", self.socket, *words], capture_output=True,
                              text=True, timeout=60)

    def run(self):
        try:
            for i in range(1000):
                repo = f"gone{self.seed}-{i}"
                os.makedirs(f"{self.mnt}/{repo}/master")
                with open(f"{self.mnt}/{repo}/master/x", "wb") as f:
                    f.write(stream(self.seed * 1000 + i, 400000))
                with open(f"{self.mnt}/{repo}/master/.pfs/commit", "w") as f:
                    f.write("to go")
                if self.call("delete", "repo", repo, "--force").returncode != 0:
                    return
                if self.call("gc", "--thorough").returncode != 0:
                    return
                self.notes.add(collected=repo)
        except OSError:
            pass
        except Exception as e:
            self.fault = repr(e)


def write(mnt, notes, socket, pfs, seed):
    args = (mnt, Notes(notes), socket, pfs)
    workers = [Writer(args, i, seed) for i in range(2)] + [Collector(args, seed)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    for w in workers:
        if w.fault:
            sys.exit(w.fault)


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except FileNotFoundError:
        return None


def listing(top):
    found = {}
    for folder, _, names in os.walk(top):
        for n in names:
            path = os.path.join(folder, n)
            found[os.path.relpath(path, top)] = os.path.getsize(path)
    return found


def differs(top, files):
    """What is wrong with the commit at `top`, or None."""
    got, want = set(listing(top).items()), {(n, s[1]) for n, s in files.items()}
    if got != want:
        return f"it has {sorted(got - want)} and not {sorted(want - got)}"
    for name, spec in files.items():
        if read(f"{top}/{name}") != content(spec):
            return f"{name} has other bytes"
    return None


def judge(mnt, notes, socket, pfs, seed):
    acked, begun, synced = {}, {}, {}
    for line in open(notes):
        n = json.loads(line)
        if "acked" in n:
            acked[n["id"]] = n
        elif "begun" in n:
            begun.setdefault(n["begun"], []).append(n["files"])
        elif "synced" in n:
            synced[n["synced"], n["file"]] = n["spec"]
        elif "changed" in n:
            synced.pop((n["changed"], n["file"]), None)
    out = subprocess.run([pfs, "--socket", socket, "list", "commit", "kept", "--raw"],
                         capture_output=True, text=True)
    if out.returncode != 0:
        sys.exit(f"commits cannot be listed: {out.stderr}")
    there = {c["name"]: c["branch"] for c in map(json.loads, out.stdout.splitlines())}
    # All of them are looked at in the end, the newer ones in each round.
    some = list(there) if seed == 0 else list(there)[:6]
    for cid in acked:
        if cid not in there:
            sys.exit(f"{cid} of {acked[cid]['acked']} was acknowledged and is not there")
    for cid in some:
        top = f"{mnt}/kept/{cid}"
        if cid in acked:
            wrong = differs(top, acked[cid]["files"])
            if wrong:
                sys.exit(f"{cid} of {acked[cid]['acked']}: {wrong}")
        elif not any(differs(top, files) is None for files in begun.get(there[cid], [])):
            wrong = [differs(top, files) for files in begun.get(there[cid], [])[-3:]]
            sys.exit(f"{cid} of {there[cid]} is not as anybody wanted it: {wrong}")
    for (branch, name), spec in synced.items():
        if seed and not branch.startswith(f"b{seed}-"):
            continue
        if read(f"{mnt}/kept/{branch}/{name}") != content(spec):
            sys.exit(f"{branch}/{name} was synced and has other bytes, or none")
    print(f"{len(some)} of {len(there)} commits, {len(acked)} acknowledged; {len(synced)} synced files: whole")


if __name__ == "__main__":
    mode, *rest = sys.argv[1:]
    {"write": write, "judge": judge}[mode](*rest[:4], int(rest[4]))
