#!/usr/bin/env python3
"""Hold the store's code, its page and its golden pack against each other.

    check_pack.py MAKE_STORE SOURCE_ROOT
"""
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pfsread  # noqa: E402


def filled(length, seed):
    out, x = bytearray(), seed
    for _ in range(length):
        x = (x * 1103515245 + 12345) & 0xFFFFFFFF
        out.append((x >> 16 if seed % 2 else ord('a') + (x >> 28)) & 0xFF)
    return bytes(out)


def check_fresh_store(make_store):
    with tempfile.TemporaryDirectory() as folder:
        lines = subprocess.run([make_store, folder], check=True, stdout=subprocess.PIPE,
                               text=True).stdout.splitlines()
        store = pfsread.Store(folder)
        packs = [(pack.sealed, pack.name) for pack in store.packs()]
        assert any(sealed for sealed, _ in packs) and not all(sealed for sealed, _ in packs), packs
        for damage in store.check():
            raise AssertionError(damage)
        wanted = {bytes.fromhex(line.split()[1]) for line in lines}
        found = {found.id for pack in store.packs() for found in pack.objects()}
        assert wanted == found, 'the reader finds other objects than were put'
        records = [record for pack in store.packs() for record in pack.records()]
        assert {record.codec for record in records} == {pfsread.RAW, pfsread.ZSTD, pfsread.DELTA}
        assert sum(record.base is not None for record in records) == 2
        assert [len(record.members) for record in records if record.type == pfsread.BUNDLE] == [40]
        assert {pack.kind for pack in store.packs()} == {pfsread.DATA, pfsread.META, pfsread.ADOPTED}
        for line in lines:
            kind, digits, length, seed = line.split()
            assert store.get(int(kind), bytes.fromhex(digits)) == filled(int(length), int(seed)), line


def check_wrong_words():
    """What is given wrong is told in one line."""
    here = os.path.dirname(os.path.abspath(__file__))
    golden = os.path.join(here, '../golden/pack-v2')
    for words in (['pfsread.py', '/nowhere', 'packs'], ['pfsread.py', golden, 'cat', 'xyz'],
                  ['pfsread.py', golden, 'cat', '0' * 64], ['pfsindex.py', '/nowhere', 'runs'],
                  ['pfsindex.py', golden, 'find', 'xyz'], ['pfstree.py', golden, 'ls', '0'],
                  ['pfstree.py', golden, 'ls', '1' * 64]):
        done = subprocess.run([sys.executable, os.path.join(here, words[0])] + words[1:],
                              stderr=subprocess.PIPE, text=True)
        assert done.returncode == 2 and done.stderr.count('\n') == 1, (words, done)
        assert done.stderr.startswith(words[0] + ': '), (words, done)


def page_dumps(root):
    """The hex dumps of the page, as bytes."""
    with open(os.path.join(root, 'man/pfs-pack.5')) as file:
        page = file.read()
    dumps = []
    for offset, digits in re.findall(r'^([0-9a-f]{8})((?:  ?[0-9a-f]{2})+)$', page, re.M):
        if offset == '00000000':
            dumps.append(b'')
        assert int(offset, 16) == len(dumps[-1]), 'a dump of the page has a gap at ' + offset
        dumps[-1] += bytes.fromhex(digits.replace(' ', ''))
    return dumps


def check_golden(root):
    dumps = page_dumps(root)
    store = pfsread.Store(os.path.join(root, 'tests/golden/pack-v1'))
    for damage in store.check():
        raise AssertionError(damage)
    [pack] = store.packs()
    assert [bytes(record.plain(store)) for record in pack.records()] == \
        [b'hello, pfs\n', b'', b'a' * 1000]
    assert dumps[0] == pack.data, "the page's first dump is another pack"
    store = pfsread.Store(os.path.join(root, 'tests/golden/pack-v2'))
    for damage in store.check():
        raise AssertionError(damage)
    [adopted, pack] = store.packs()
    text = b'0123456789abcdef' * 64
    assert [bytes(found.plain(store)) for found in pack.objects()] == \
        [text, text[:500] + b'edited' + text[506:], b'first\n', b'second\n']
    assert [found.base is not None for found in pack.objects()] == [False, True, False, False]
    assert [bytes(piece.plain(store)) for piece in adopted.records()] == [b'first half', b'and more\n']
    assert dumps[1:] == [pack.data, adopted.table], "the page's dumps are other packs"


if __name__ == '__main__':
    check_wrong_words()
    check_golden(sys.argv[2])
    check_fresh_store(sys.argv[1])
