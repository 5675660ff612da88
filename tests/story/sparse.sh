#!/bin/sh
# Holes: where they are is told truly in every state of a file, who copies a file
# copies them as holes, and they are made and filled by fallocate as on a local disk.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_command python3
need_command fallocate
start_pfsd
mkdir "$MNT/r" && mkdir "$MNT/r/b" && cd "$MNT/r/b" || broken "a branch"
commit() { echo "$1" >.pfs/commit && cat .pfs/commit; }

cat >"$S/holes.py" <<'END'
import errno, os, sys
M, G = 1 << 20, 1 << 30
def extents(path):
    """Where the data of a file is; its holes are checked on the way."""
    fd, out = os.open(path, os.O_RDONLY), []
    end, at = os.fstat(fd).st_size, 0
    while True:
        try: start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as e:
            assert e.errno == errno.ENXIO, e
            break
        if start > at: assert os.lseek(fd, at, os.SEEK_HOLE) == at
        at = os.lseek(fd, start, os.SEEK_HOLE)
        assert start < at <= end
        out.append((start, at))
    os.close(fd)
    return out
def near(path, *want):
    """Data is where it is wanted, and at most 256 KiB more around it."""
    got = extents(path)
    assert len(got) == len(want), (got, want)
    for (a, b), (c, d) in zip(got, want):
        assert a <= c and d <= b and c - a <= M // 4 and b - d <= M // 4, (got, want)
def blocks(path): return os.stat(path).st_blocks * 512
def word(path, off, text):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    os.pwrite(fd, text, off)
    os.close(fd)
def read(path, off, n):
    fd = os.open(path, os.O_RDONLY)
    try: return os.pread(fd, n, off)
    finally: os.close(fd)
def same_words(path, words):
    for off, text in words.items():
        assert read(path, off - 1 if off else 0, len(text) + 2).strip(b"\0") == text, (path, off)
END
py() { PYTHONPATH=$S python3 -c "from holes import *
$1" ${2+"$2"} ${3+"$3"} ${4+"$4"}; }

# ---- a terabyte ----
words='W = {0: b"start", 500 * G: b"middle", 1024 * G - 3: b"end"}'
claim "a file of 1 TiB with three words in it" py "$words
for off, text in W.items(): word('tera', off, text)
assert os.stat('tera').st_size == 1024 * G and blocks('tera') < M
near('tera', (0, 5), (500 * G, 500 * G + 6), (1024 * G - 3, 1024 * G))"
begun=$(date +%s)
first=$(commit "a terabyte")
claim "its commit tells of the same holes" py "$words
p = sys.argv[1] + '/tera'
assert os.stat(p).st_size == 1024 * G and blocks(p) < M, blocks(p)
near(p, (0, 5), (500 * G, 500 * G + 6), (1024 * G - 3, 1024 * G))
same_words(p, W)" "../$first"
claim "the clean file in the branch does too" py "$words
near('tera', (0, 5), (500 * G, 500 * G + 6), (1024 * G - 3, 1024 * G))
assert blocks('tera') < M
same_words('tera', W)"
claim "cp copies it out of the commit with its holes" cp "../$first/tera" "$S/tera"
claim "and into the branch" cp "../$first/tera" copy
for f in "$S/tera" copy; do
	claim "$f has the words, and holes between" py "$words
same_words(sys.argv[1], W); assert blocks(sys.argv[1]) < M" "$f"
done
rm "$S/tera" copy
words='W = {0: b"start", 300 * G: b"patch", 500 * G: b"middle", 1024 * G - 3: b"end"}'
claim "a word written into the committed one" py "$words
word('tera', 300 * G, b'patch')
near('tera', (0, 5), (300 * G, 300 * G + 5), (500 * G, 500 * G + 6), (1024 * G - 3, 1024 * G))
assert blocks('tera') < M
same_words('tera', W)"
claim "a hole punched into it" py "
assert os.system('fallocate -p -o %d -l %d tera' % (400 * G, 200 * G)) == 0
near('tera', (0, 5), (300 * G, 300 * G + 5), (1024 * G - 3, 1024 * G))"
claim "its end cut off, and a hole put there" py "
os.truncate('tera', 900 * G); os.truncate('tera', 1000 * G)
near('tera', (0, 5), (300 * G, 300 * G + 5))"
second=$(commit "patched")
claim "the commit has it so" py "
p = sys.argv[1] + '/tera'
assert os.stat(p).st_size == 1000 * G and blocks(p) < M
near(p, (0, 5), (300 * G, 300 * G + 5))
near(sys.argv[2] + '/tera', (0, 5), (500 * G, 500 * G + 6), (1024 * G - 3, 1024 * G))" "../$second" "../$first"
echo "# all of that took $(($(date +%s) - begun)) s"
rm tera

# ---- fallocate, in every state of a file: new, clean, patched, passed through or not ----
fill() { py 'open(sys.argv[1], "wb").write(os.urandom(1024) * (int(sys.argv[2]) << 10))' "$1" "$2"; }
try_allocate() { # STATE FILE SIZE_IN_MIB COMMITTED: fallocate on FILE and on a local one do the same
	cp "$2" "$S/local"
	py 'import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
K = 4096
KEEP, PUNCH, COLLAPSE, ZERO, INSERT = 1, 2, 8, 16, 32
size = int(sys.argv[2]) * M
ours, local = os.open(sys.argv[1], os.O_RDWR), os.open(sys.argv[3], os.O_RDWR)
def both(mode, off, len):
    for fd in ours, local:
        assert libc.fallocate(fd, mode, off, len) == 0, (fd == ours, mode, ctypes.get_errno())
    n = os.fstat(local).st_size
    assert os.fstat(ours).st_size == n, (mode, n)
    at = 0
    while at < n:
        assert os.pread(ours, 4 * M, at) == os.pread(local, 4 * M, at), (mode, at)
        at += 4 * M
both(PUNCH | KEEP, 3 * K + 5, 100 * K)
both(ZERO, 200 * K + 1, 10 * K)
both(ZERO | KEEP, size - K, 3 * K)
both(ZERO, size - K, 2 * K + 7)
both(KEEP, size, 10 * K)
both(0, size, 64 * K + 9)
os.pwrite(ours, b"behind", size + M); os.pwrite(local, b"behind", size + M)
both(PUNCH | KEEP, size, 8 * M)
for mode in COLLAPSE, INSERT:
    assert libc.fallocate(ours, mode, 0, 64 * K) == -1 and ctypes.get_errno() == errno.EOPNOTSUPP
for fd in ours, local: os.close(fd)' "$2" "$3" "$S/local"
}
fill small 1
fill large 9
claim "fallocate on new files, a small one" try_allocate new small 1
claim "... a large one" try_allocate new large 9
fill small 1
fill large 9
third=$(commit "to allocate in")
claim "on clean files, a small one" try_allocate clean small 1
claim "... a large one, patched by it" try_allocate clean large 9
cp small "$S/small.want"; cp large "$S/large.want"
fourth=$(commit "allocated")
claim "and their commit has them as they were" sh -c "cmp small '$S/small.want' && cmp '../$fourth/large' '$S/large.want'"
claim "room for a new file is really set aside" py '
fd = os.open("room", os.O_RDWR | os.O_CREAT, 0o644)
os.posix_fallocate(fd, 0, 3 * M)
assert os.fstat(fd).st_size == 3 * M and os.fstat(fd).st_blocks * 512 >= 3 * M'

# ---- the tools ----
claim "cp --sparse, tar -S and rsync -S agree about a disk image" py '
fd = os.open("image", os.O_RDWR | os.O_CREAT, 0o644)
os.truncate("image", 256 * M)
for i in range(0, 256, 8): os.pwrite(fd, os.urandom(300000), i * M)
os.close(fd)'
fifth=$(commit "an image")
claim "its commit takes the room of its data" py '
assert 32 * 300000 <= blocks(sys.argv[1]) < 16 * M, blocks(sys.argv[1])' "../$fifth/image"
claim "cp" cp "../$fifth/image" "$S/image"
claim "leaves the holes" sh -c "[ \$(du -m '$S/image' | cut -f1) -lt 20 ] && cmp '$S/image' image"
claim "tar" sh -c "tar -C '../$fifth' -S -cf '$S/image.tar' image && [ \$(du -m '$S/image.tar' | cut -f1) -lt 20 ] &&
	mkdir out && tar -C out -xf '$S/image.tar' && cmp out/image image && [ \$(du -m out/image | cut -f1) -lt 20 ]"
claim "du of the branch is what its data takes" sh -c '[ $(du -sm . | cut -f1) -lt 100 ]'
cd "$S" || exit 1
claim "pfsd ends" stop_pfsd
finish
