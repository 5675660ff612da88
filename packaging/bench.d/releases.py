"""Successive releases of one source tree: how large the repository becomes.

The newest version of each of the last four series that the machine's own
Debian mirrors can give. Every release is put in the place of the one before: for
the peers in one folder, for us in a branch."""
import functools
import re
import subprocess

import peers
from ground import GIB, MISHAPS, Skip, emptied, run, said, timed

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SUITES = ("oldoldstable", "oldstable", "stable", "testing", "unstable", "oldstable-backports", "stable-backports")
TRIES = 6  # of a series: lists may be ahead of the mirror or behind it


class Mirror:
    """Source packages of all suites of the configured mirrors, without touching the machine's own lists."""

    def __init__(self, folder):
        self.folder = folder
        for sub in ("lists/partial", "cache/archives/partial"):
            (folder / sub).mkdir(parents=True)
        (folder / "status").touch()
        signed = f"[signed-by={KEYRING}] "
        sites = set(run("apt-get", "indextargets", "--format", "$(REPO_URI) $(SUITE)").splitlines())
        sites = {line.split()[0] for line in sites if not re.search(r"-(security|updates)$", line)}
        if not sites:
            raise Skip("this machine has no list of Debian mirrors (apt-get update)")
        (folder / "sources.list").write_text("".join(
            f"deb-src {signed}{site} {suite} main\n" for site in sorted(sites) for suite in SUITES))
        self.options = [f"-o{name}={value}" for name, value in {
            "Dir::Etc::SourceList": folder / "sources.list", "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": folder / "lists", "Dir::State::status": folder / "status",
            "Dir::Cache": folder / "cache", "APT::Sandbox::User": "root"}.items()]
        # Suites that a mirror does not have make apt fail; what it has is there all the same.
        subprocess.run(["apt-get", *self.options, "-q", "update"], check=False, capture_output=True)

    def series(self, package):
        """The versions of each series, both newest first."""
        series = {}
        text = run("apt-cache", *self.options, "showsrc", "--only-source", package)
        for version in set(re.findall(r"^Version: (\S+)$", text, re.MULTILINE)):
            numbers = re.match(r"(?:\d+:)?(\d+)\.(\d+)", version)
            if numbers and "rc" not in version:
                series.setdefault(tuple(int(n) for n in numbers.groups()), []).append(version)
        order = functools.cmp_to_key(lambda a, b: 1 if newer(a, b) else -1)
        return [sorted(series[key], key=order, reverse=True) for key in sorted(series, reverse=True)]

    def fetch(self, package, version):
        """The upstream tarball of a version; None when the mirror lists what it has no more."""
        place = self.folder / version.replace(":", "_")
        place.mkdir()
        done = subprocess.run(["apt-get", *self.options, "-q", "source", "--download-only", "--tar-only",
                               f"{package}={version}"], cwd=place, check=False, capture_output=True)
        return next(place.glob("*.orig.tar.*"), None) if done.returncode == 0 else None

    def newest(self, package, n):
        """Versions and tarballs of the newest n series that can be had, oldest first."""
        found = []
        for versions in self.series(package):
            for version in versions[:TRIES]:
                tarball = self.fetch(package, version)
                if tarball:
                    found.insert(0, (version, tarball))
                    break
            if len(found) == n:
                return found
        raise Skip(f"of {package} the configured mirrors have {len(found)} series, {n} are wanted")


def newer(a, b):
    return subprocess.run(["dpkg", "--compare-versions", a, "gt", b], check=False).returncode == 0


def releases(g):
    package, wanted = g.size("linux", "busybox"), (peers.Restic, peers.Borg, peers.Git, peers.Casync, peers.Bup,
                                                   peers.Ostree)
    g.need(g.size(24 * GIB, GIB), f"four releases of {package}, in seven repositories")
    g.need_program("apt-get")
    mirror = Mirror(g.folder / "mirror")
    sources = mirror.newest(package, 4)
    g.open()
    branch, tree = g.branch("releases"), g.native / "tree"
    tree.mkdir()
    theirs = {}
    for peer in wanted:
        with g.attempt(f"releases / {peer.program}"):
            theirs[peer.program] = peer(g)
    took = {name: 0.0 for name in theirs}
    copied = committed = 0.0
    for version, tarball in sources:
        emptied(tree)
        run("tar", "-C", tree, "--strip-components=1", "-xf", tarball)
        tarball.unlink()
        for name, peer in list(theirs.items()):
            try:
                took[name] += peer.store(tree, re.sub(r"[^\w.]", "-", version))
            except MISHAPS as e:
                g.say(f"releases / {name}: not measured: {said(e)}")
                del theirs[name]
        emptied(branch)
        copied += timed(run, "cp", "-a", f"{tree}/.", branch)
        committed += timed(g.commit, "releases", version)
    g.say(f"releases: {package} {', '.join(version for version, _ in sources)}; the last has "
          f"{run('du', '-s', '--apparent-size', '-m', tree).split()[0]} MB in {sum(1 for _ in tree.rglob('*'))} names")

    ours = before = g.store_used()
    took_tidy = None
    with g.attempt("pfs tidy"):
        took_tidy = timed(g.tidy)
        ours = g.store_used()
    g.row("four releases: store as written, tidied", before / 1e6, ours / 1e6, "-", "MB")
    g.row("four releases: tidied in", took_tidy, None, "-", "s", "pfs tidy and gc; pfsd does it by itself when it has time")
    sizes = {name: peer.size() for name, peer in theirs.items()}
    smaller = min((size for name, size in sizes.items() if name in ("restic", "borg")), default=None)
    if smaller:
        g.row("four releases: store / the smaller of restic, borg", ours / 1e6, smaller / 1e6, "<= 1", "MB")
    for name, size in sizes.items():
        g.row(f"four releases: store / {name}", ours / 1e6, size / 1e6, "-", "MB", "after git gc" if name == "git" else "")
    if "git" in theirs:
        g.row("four releases: store / git before its gc", ours / 1e6, theirs["git"].as_written / 1e6, "-", "MB")
    for name in sizes:
        g.row(f"four releases: copy and commit / {name}", copied + committed, took[name], "-", "s")
    g.row("four releases: commits alone", committed, None, "-", "s")
    g.row("pfsd's peak memory", g.memory(), None, "-", "MB")


ROWS = (releases,)
