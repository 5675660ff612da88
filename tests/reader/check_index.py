#!/usr/bin/env python3
"""Hold the index that the code writes against its page.

    check_index.py MAKE_INDEX SOURCE_ROOT
"""
import hashlib
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pfsindex  # noqa: E402
import pfsread  # noqa: E402


def check_fresh_index(make_index):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([make_index, folder], check=True)
        store = pfsread.Store(folder)
        index = pfsindex.Index(folder, store.uuid)
        levels = {run.level for run in index.runs}
        assert max(levels) > 0, 'no runs were merged: %s' % levels
        assert sum(run.records for run in index.runs) > 1000
        for damage in pfsindex.check(index, store):
            raise AssertionError(damage)
        named = {'%016x.ix' % run.number for run in index.runs} | {'manifest'}
        assert set(os.listdir(os.path.join(folder, 'index'))) == named, 'files that the manifest does not name'
        absent = [hashlib.sha256(b'absent %d' % i).digest() for i in range(500)]
        assert not any(index.find(wanted) for wanted in absent)
        through = sum(run.may_hold(wanted) for wanted in absent for run in index.runs)
        assert through <= 15 * len(index.runs), '%d of %d let through' % (through, len(absent))


def check_golden(root):
    folder = os.path.join(root, 'tests/golden/index-v1')
    index = pfsindex.Index(folder, bytes(range(16)))
    [run] = index.runs
    assert [(place.pack, place.offset, place.codec) for place in run.all()] == \
        [(0, 64, 0), (2, 1 << 32, 0), (0, 136, 1)]
    with open(os.path.join(folder, 'index/manifest'), 'rb') as file:
        manifest = file.read()
    with open(os.path.join(root, 'man/pfs-index.5')) as file:
        page = file.read()
    lines = re.findall(r'^[0-9a-f]{8}((?:  ?[0-9a-f]{2})+)$', page, re.M)
    assert bytes.fromhex(''.join(lines).replace(' ', '')) == manifest, "the page's dump is another manifest"


if __name__ == '__main__':
    check_golden(sys.argv[2])
    check_fresh_index(sys.argv[1])
