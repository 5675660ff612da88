"""A table of which few rows change: what the second version costs.

0.01 % of the rows get another number, shorter, as long or longer, at random
places. The whole new table is written over the old one, as programs do."""
import peers
from ground import filled, run, timed, tool


def edits(g):
    mib, wanted = g.size(1024, 48), (peers.Restic, peers.Borg, peers.Casync, peers.Bup)
    g.need(8 * (mib << 20), "two versions of a table")
    g.open()
    branch = g.branch("edits")
    first, second = g.native / "table.csv", g.native / "second"
    filled(first, tool("bench_data"), "csv", 7, mib)
    changed = filled(second, tool("bench_data"), "edit", 11, 100, source=first).strip()
    g.say(f"edits: {mib} MiB of CSV, then {changed} rows changed, 0.01 %")

    inside = branch / "table.csv"
    run("cp", first, inside)
    g.commit("edits")
    before = g.store_used()
    run("cp", second, inside)
    seconds = timed(g.commit, "edits")
    ours = g.store_used() - before

    theirs = {}
    for peer in wanted:
        with g.attempt(f"edits / {peer.program}"):
            p = peer(g)
            place = g.folder / "versions"
            place.mkdir(exist_ok=True)
            run("cp", first, place / "table.csv")
            p.store(place, "first")
            size = p.size()
            run("cp", second, place / "table.csv")
            took = p.store(place, "second")
            theirs[peer.program] = (p.size() - size, took)
            p.remove()
    for name, (size, took) in theirs.items():
        g.row(f"growth by 0.01 % of the rows / {name}", ours / 1e6, size / 1e6,
              "<= 0.1" if name == "restic" else "-", "MB")
    for name, (size, took) in theirs.items():
        g.row(f"commit of the changed table / {name}", seconds, took, "-", "s")


ROWS = (edits,)
