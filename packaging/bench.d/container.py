"""How long it takes from a commit to the first instruction of a pipeline."""
import subprocess
import time

from ground import PROJECT, BUILD, run, wait_for


def start_runner(g):
    address = g.folder / "containerd.sock"
    config = g.folder / "containerd.toml"
    config.write_text(f'''version = 2
root = "{g.folder}/containerd/root"
state = "{g.folder}/containerd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{address}"
[ttrpc]
  address = "{address}.ttrpc"
''')
    g.start("containerd", "containerd", "--config", config)
    wait_for("containerd answers", lambda: subprocess.run(
        ["ctr", "--address", str(address), "version"], capture_output=True).returncode == 0)
    run(PROJECT / "packaging/busybox-image", g.folder / "busybox.tar")
    runner = BUILD / "src/runner/pfs-runner"
    run(runner, "--containerd", address, "import", g.folder / "busybox.tar")
    g.start("pfs-runner", runner, "--socket", g.socket, "--containerd", address, "--root", g.folder / "runner")
    return ["ctr", "--address", address, "--namespace", "pfs"]


def container(g):
    g.need_program("containerd")
    g.open()
    ctr = start_runner(g)
    branch = g.branch("trigger")
    pachfile = g.folder / "first.Pachfile"
    pachfile.write_text("image busybox\ninput in\nrun : > /out/first\n")
    (branch / "in").mkdir()
    run("curl", "-sS", "-f", "-XPOST", f"http://{g.listen}/pipeline/first?repo=trigger", "-T", pachfile)
    image = run(*ctr, "images", "ls", "-q").split()[0]

    def ours(i):
        (branch / "in" / "tick").write_text(str(i))
        start = time.time_ns()
        result = g.mount / "first" / g.commit("trigger") / "first"
        wait_for("the pipeline's result", result.exists)
        return (result.stat().st_mtime_ns - start) / 1e6

    shared = g.native / "out"
    shared.mkdir()

    def theirs(i):
        first = shared / "first"
        first.unlink(missing_ok=True)
        start = time.time_ns()
        run(*ctr, "run", "--rm", "--mount", f"type=bind,src={shared},dst=/out,options=rbind:rw", image, f"bench-{i}",
            "/bin/sh", "-c", ": > /out/first")
        return (first.stat().st_mtime_ns - start) / 1e6

    g.row("commit to first instruction, cold / ctr run", *g.pairs(ours, theirs, 9), "<= 1.3", "ms")


ROWS = (container,)
