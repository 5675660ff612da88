#!/usr/bin/env python3
"""Hold the code of trees, their page and their golden nodes against each other.

    check_tree.py MAKE_TREE SOURCE_ROOT
    check_tree.py golden SOURCE_ROOT      write the golden nodes anew
"""
import hashlib
import os
import random
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pfsread  # noqa: E402
import pfstree  # noqa: E402
from pfstree import Entry  # noqa: E402


class ZeroStore:
    """The keys of a store whose secret is zero."""

    gear_key = pfsread.hkdf(bytes(32), b'gear', 32)
    tree_key = pfsread.hkdf(bytes(32), b'tree', 16)
    id_key = pfsread.hkdf(bytes(32), b'id', 32)
    object_id = pfsread.Store.object_id


def example_directory():
    return [Entry(b'bin', pfstree.DIRECTORY, 0o755, 1700000000),
            Entry(b'hello', pfstree.INLINE, 0o644, 1700000001, data=b'hello, pfs\n'),
            Entry(b'hello.link', pfstree.SYMLINK, 0o777, 1700000000, 5, data=b'hello'),
            Entry(b'zeros', pfstree.SEQUENCE, 0o600, 1700000002, 0, 1000, 100, link=7, size=100010,
                  id=bytes(range(32)))]


def example_sequence(writer):
    """Two segments with a hole between them."""
    writer.content(b'a' * 300)
    [first] = [k for k, v in writer.objects.items() if v == b'a' * 300]
    return [pfstree.piece(0, 300, first), pfstree.piece(2, 100000, b''), pfstree.piece(0, 300, first)]


def golden_nodes():
    """name -> bytes, as they stand in tests/golden/tree-v1."""
    writer = pfstree.Writer(ZeroStore())
    small = writer.directory(example_directory())
    large = writer.directory([Entry(b'name-%04d' % i, pfstree.INLINE, sec=i, data=b'%d\n' % i)
                              for i in range(600)])
    noise = hashlib.shake_256(b'pfs cuts').digest(1 << 20)
    spans = list(pfstree.cuts(noise, writer.table, writer.key2))
    nodes = {'dir': writer.objects[small], 'dir-root': writer.objects[large],
             'seq': pfstree.encode_seq(0, 0, example_sequence(writer)),
             'xattrs': pfstree.encode_xattrs({b'user.comment': b'hello', b'user.empty': b''}),
             'links': ''.join('%s %d\n' % (name.decode(), number) for name, number in sorted(
                 pfstree.link_numbers(ZeroStore.tree_key, [b'z', b'a/y', b'a/x']).items())).encode(),
             'cuts': b''.join(b'%d\n' % (end - start) for start, end, _ in spans)}
    assert pfstree.decode_xattrs(nodes['xattrs']) == {b'user.comment': b'hello', b'user.empty': b''}
    assert b'\x01' == nodes['dir-root'][3:4], 'the large directory has two levels'
    return nodes


def check_golden(root):
    for name, data in golden_nodes().items():
        with open(os.path.join(root, 'tests/golden/tree-v1', name), 'rb') as file:
            assert file.read() == data, 'golden file %s' % name


def write_golden(root):
    for name, data in golden_nodes().items():
        with open(os.path.join(root, 'tests/golden/tree-v1', name), 'wb') as file:
            file.write(data)


def fill(folder, rng):
    noise = rng.randbytes(900000)
    files = {'empty': b'', 'inline': b'x' * 256, 'chunk': noise[:257], 'long': noise,
             'constant': b'c' * 700000, 'hole': bytes(100000), 'short-zeros': b'a' + bytes(65535) + b'b',
             'holes': b''.join(b'%04d' % i + bytes(65536 + i) for i in range(1, 700)),
             'text': b''.join(b'row %d of a table\n' % rng.randrange(1000) for _ in range(20000))}
    files.update({'many-%05d-%d' % (rng.randrange(100000), i): b'%d' % i for i in range(1500)})
    for name, data in files.items():
        path = os.path.join(folder, name)
        with open(path, 'wb') as file:
            file.write(data)
        os.utime(path, ns=(0, rng.randrange(2 * 10 ** 18)))
    return files


def check_fresh(make_tree):
    with tempfile.TemporaryDirectory() as top:
        folder, place = os.path.join(top, 'files'), os.path.join(top, 'store')
        os.mkdir(folder)
        files = fill(folder, random.Random(2026))
        printed = subprocess.run([make_tree, place, folder], check=True, stdout=subprocess.PIPE, text=True)
        root = bytes.fromhex(printed.stdout.strip())
        store = pfsread.Store(place)
        writer, again, seen = pfstree.Writer(store), [], {}
        for path, e in pfstree.walk(store.get, root):
            name = os.fsdecode(path)
            seen[name] = pfstree.file_bytes(store.get, e)
            sb = os.stat(os.path.join(folder, name))
            assert (e.mode, e.sec * 10 ** 9 + e.nsec) == (sb.st_mode & 0o7777, sb.st_mtime_ns), name
            kind, digest = writer.content(files[name])
            assert (kind, digest) == (e.kind, e.id), 'content of %s' % name
            again.append(e)
        assert seen == files, 'files are not what was put'
        assert writer.directory(again) == root, 'the tree is not the one the page tells of'


def main(argv):
    if argv[1] == 'golden':
        write_golden(argv[2])
        return
    check_golden(argv[2])
    check_fresh(argv[1])


if __name__ == '__main__':
    main(sys.argv)
