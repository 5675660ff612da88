"""What every measurement stands on: one pfsd on a scratch folder, a native
folder beside it on the same disk, and the table of rows."""
import contextlib
import os
import pathlib
import resource
import shutil
import socket
import statistics
import subprocess
import tempfile
import time

PROJECT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = PROJECT / "build"
GIB = 1 << 30
FORMAT = "%-60s %12s %12s %8s   %-9s %s"


class Skip(Exception):
    """This cannot be measured here; the reason is its text."""


def tool(name):
    return BUILD / "tests" / name


def run(*command, **options):
    """What a command printed; a failure carries what it complained of."""
    return subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, **options).stdout


def filled(path, *command, source=None):
    """`path` made of what a command prints, on disk and in the page cache; what it said besides."""
    with open(path, "wb") as out, open(source or os.devnull, "rb") as given:
        done = subprocess.run([str(c) for c in command], check=True, stdin=given, stdout=out, stderr=subprocess.PIPE)
        os.fsync(out.fileno())
    return done.stderr.decode()


def poured(out, *command):
    """What a command prints, into an open file."""
    out.flush()
    subprocess.run([str(c) for c in command], check=True, stdout=out)


def timed(work, *arguments, **options):
    start = time.perf_counter()
    work(*arguments, **options)
    return time.perf_counter() - start


def children_cpu():
    """Seconds of processor of all commands that were run and have ended."""
    use = resource.getrusage(resource.RUSAGE_CHILDREN)
    return use.ru_utime + use.ru_stime


def process_cpu(pid):
    """Seconds of processor that a process has used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for(what, test, seconds=30):
    end = time.monotonic() + seconds
    while not test():
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def median(values):
    return statistics.median(values)


def drop_caches():
    os.sync()
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")


def used(folder):
    """Bytes on disk below a folder, as du counts them: whole blocks."""
    return int(run("du", "-s", "--block-size=1", folder).split()[0])


def length(folder):
    """Bytes in the files below a folder, those with several names once."""
    return int(run("du", "-s", "--apparent-size", "--block-size=1", folder).split()[0])


def emptied(folder):
    """Like rm -rf FOLDER/*."""
    for name in os.listdir(folder):
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def said(error):
    """An exception in a line."""
    words = getattr(error, "stderr", None) or ""
    if isinstance(words, bytes):
        words = words.decode(errors="replace")
    return " ".join(f"{error} {words}".split())[:300]


MISHAPS = (Skip, RuntimeError, OSError, ValueError, KeyError, IndexError, subprocess.SubprocessError, shutil.Error)


class Ground:
    def __init__(self, folder, quick):
        self.quick = quick
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pfs-bench.", dir=folder))
        self.native = self.folder / "native"
        self.mount = self.folder / "mnt"
        self.socket = self.folder / "pfsd.sock"
        self.native.mkdir()
        self.mount.mkdir()
        self.processes = []
        self.after = contextlib.ExitStack()  # what is to be undone of who else was set up on the disk
        self.rows = []
        self.pfsd = None
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.listen = f"127.0.0.1:{s.getsockname()[1]}"

    def open(self, data=None):
        """Start pfsd on a data folder; a new one by default. It looks after itself only when told to."""
        self.data = data or self.folder / "data"
        self.pfsd = self.start("pfsd", BUILD / "src/daemon/pfsd", "--data", self.data, "--mount", self.mount,
                               "--listen", self.listen, "--socket", self.socket, "--maintenance", "off")
        wait_for("pfsd mounts", lambda: os.path.ismount(self.mount) or self.pfsd.poll() is not None, 60)
        if self.pfsd.poll() is not None:
            raise RuntimeError("pfsd ended: " + (self.folder / "pfsd.log").read_text()[-300:])

    def start(self, name, *command):
        log = open(self.folder / f"{name}.log", "w")
        process = subprocess.Popen([str(c) for c in command], stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def stop(self):
        """End what was started, the last first; the data folder stays."""
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(120)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []
        if os.path.ismount(self.mount):
            subprocess.run(["umount", "-l", self.mount], check=False)

    def close(self):
        self.stop()
        self.after.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # Rows.

    def row(self, name, ours, peer, target="-", unit="", note="", ratio=None):
        if ratio is None and peer and ours is not None:
            ratio = ours / peer
        self.rows.append({"name": name, "ours": ours, "peer": peer, "ratio": ratio, "target": target, "unit": unit,
                          "note": note})
        show(self.rows[-1])

    def say(self, words):
        """What one has to know to read the rows."""
        print(f"# {words}", flush=True)

    @contextlib.contextmanager
    def attempt(self, name):
        """What fails or cannot be in here costs its own rows only."""
        try:
            yield
        except MISHAPS as e:
            self.rows.append({"name": name, "why": said(e)})
            show(self.rows[-1])

    def need(self, size, what):
        free = shutil.disk_usage(self.folder).free
        if free < size:
            raise Skip(f"{what} needs {size / GIB:.1f} GiB of disk, {free / GIB:.1f} are free")

    def need_program(self, program):
        if not shutil.which(program):
            raise Skip(f"{program} is not installed (packaging/setup --bench)")

    def size(self, full, quick):
        return quick if self.quick else full

    def pairs(self, ours, peer, n=5):
        """Call both in turn; the medians of what they return."""
        results = [(ours(i), peer(i)) for i in range(self.size(n, min(n, 2)))]
        return median([r[0] for r in results]), median([r[1] for r in results])

    # pfs.

    def branch(self, repo):
        path = self.mount / repo / "master"
        path.mkdir(parents=True)
        return path

    def commit(self, repo, message="bench"):
        control = self.mount / repo / "master" / ".pfs" / "commit"
        control.write_text(message)
        return control.read_text().strip()

    def pfs(self, *command):
        return run(BUILD / "src/cli/pfs", "--socket", self.socket, *command)

    def tidy(self):
        """All that pfsd would do by itself to need less disk."""
        self.pfs("tidy")
        self.pfs("gc")

    def store_used(self):
        return used(self.data / "store")

    def store_length(self):
        return length(self.data / "store")

    def memory(self):
        """The most that pfsd ever had in RAM, in MB."""
        status = pathlib.Path(f"/proc/{self.pfsd.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024

    def cpu(self):
        """Seconds of processor that pfsd has used."""
        return process_cpu(self.pfsd.pid)


def figure(value, unit):
    if value is None:
        return "-"
    return (f"{value:.4g} {unit}" if abs(value) < 1e5 else f"{value:.0f} {unit}").strip()


def show(row):
    if "why" in row:
        print(f"{row['name']}: not measured: {row['why']}", flush=True)
        return
    ratio = row["ratio"]
    print((FORMAT % (row["name"], figure(row["ours"], row["unit"]), figure(row["peer"], row["unit"]),
                     "-" if ratio is None else f"{ratio:.3g}", row["target"], row["note"])).rstrip(), flush=True)
