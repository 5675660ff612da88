"""The programs that pfs is compared with, behind one face:

    peer.store(path, label)   take in a file or a folder; seconds
    peer.size()               bytes on disk

Each with the defaults of its distribution, without encryption where that can
be had, in a repository of its own on the measured disk. restic encrypts
always; its key is made when the repository is. What each makes durable: restic
and borg flush what they write, git, bup, casync and ostree do not, or only in
part. Files that were just written are in the page cache for all of them.
"""
import os
import shutil
import time

from ground import Skip, run, used


def versions():
    """What is installed of them, as Debian numbers it."""
    return run("sh", "-c", "dpkg-query -W -f '${Package} ${Version}, ' restic borgbackup git casync bup ostree openssl btrfs-progs "
               "2>/dev/null || :").rstrip(", ")


class Peer:
    program = None

    def __init__(self, ground, name=""):
        if not shutil.which(self.program):
            raise Skip(f"{self.program} is not installed (packaging/setup --bench)")
        self.folder = ground.folder / f"{self.program}.{name}"
        self.repo = self.folder / "repo"
        self.folder.mkdir()
        self.env = {**os.environ, "HOME": str(self.folder), **self.settings()}
        self.init()

    def run(self, *command, **options):
        return run(*command, env=self.env, **options)

    def settings(self):
        return {}

    def store(self, path, label):
        start = time.perf_counter()
        self.take(path, label)
        return time.perf_counter() - start

    def size(self):
        return used(self.repo)

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Restic(Peer):
    """Compression "auto" (zstd), chunks of about 1 MiB, AES and Poly1305."""
    program = "restic"

    def settings(self):
        return {"RESTIC_PASSWORD": "bench", "RESTIC_CACHE_DIR": str(self.folder / "cache"),
                "RESTIC_REPOSITORY": str(self.repo)}

    def init(self):
        self.run("restic", "init", "--quiet")

    def take(self, path, label):
        self.run("restic", "backup", "--quiet", path)


class Borg(Peer):
    """Compression lz4, chunks of about 2 MiB, no encryption, cache of files warm from the round before."""
    program = "borg"

    def settings(self):
        return {"BORG_BASE_DIR": str(self.folder / "base"), "BORG_REPO": str(self.repo),
                "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}

    def init(self):
        self.run("borg", "init", "-e", "none")

    def take(self, path, label):
        self.run("borg", "create", f"::{label}", path)


class Git(Peer):
    """zlib, whole files; size() packs with deltas as git gc does, as_written is before that."""
    program = "git"
    as_written = None

    def init(self):
        self.run("git", "init", "-q", "--bare", self.repo)

    def settings(self):
        return {f"GIT_{who}_{what}": "bench@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}

    def take(self, path, label):
        git = ("git", "-c", "gc.auto=0", f"--git-dir={self.repo}", f"--work-tree={path}")
        self.run(*git, "add", "--all", "--force", cwd=path)
        self.run(*git, "commit", "-q", "--allow-empty", "-m", label, cwd=path)

    def size(self):
        self.as_written = super().size()
        self.run("git", f"--git-dir={self.repo}", "gc", "-q", "--prune=now")
        return super().size()


class Casync(Peer):
    """zstd, chunks of about 64 KiB, a file for each."""
    program = "casync"

    def init(self):
        self.repo.mkdir()

    def take(self, path, label):
        kind = "caidx" if path.is_dir() else "caibx"
        self.run("casync", "make", f"--store={self.repo}/default.castr", f"{self.repo}/{label}.{kind}", path)


class Bup(Peer):
    """zlib 1, chunks of about 8 KiB, git's packs."""
    program = "bup"

    def settings(self):
        return {"BUP_DIR": str(self.repo)}

    def init(self):
        self.run("bup", "init")

    def take(self, path, label):
        self.run("bup", "index", path)
        self.run("bup", "save", "-q", "-n", "bench", path)


class Ostree(Peer):
    """Mode archive: zlib, whole files, a file for each."""
    program = "ostree"

    def init(self):
        self.run("ostree", "init", f"--repo={self.repo}", "--mode=archive")

    def take(self, path, label):
        self.run("ostree", "commit", f"--repo={self.repo}", "-b", "bench", "-s", label, f"--tree=dir={path}")
