"""Measurements that a C program makes from inside, one line for each:

    <words of a name> <number> <unit>

Lines that begin with # are shown as they are. A program that is told "quick"
takes small sizes."""
import os

from ground import GIB, Skip, run, tool


def rows(g, program, *arguments, targets, suffix=""):
    """Each line a row, with the target of its name."""
    if not program.exists():
        raise Skip(f"there is no {program.name} in this build")
    for line in run(program, *arguments, env={**os.environ, "TMPDIR": str(g.folder)}).splitlines():
        words = line.split()
        if line.startswith("#"):
            g.say(line[1:].strip())
        elif len(words) > 2:
            name, value, unit = " ".join(words[:-2]), float(words[-2]), words[-1]
            g.row(name + suffix, value, None, targets.get(name, "-"), unit)


def quick(g):
    return ["quick"] if g.quick else []


def gc(g):
    g.need(4 * GIB, "a million objects")
    rows(g, tool("bench_gc"), *quick(g), targets={"mark of 1000000 objects": "< 1 s"})


def index(g):
    g.need(4 * GIB, "an index of ten million chunks")
    rows(g, tool("bench_index"), *quick(g), targets={"memory of an index of 10000000 chunks": "< 100 MB"})


GC, INDEX = (gc,), (index,)
