#!/bin/sh
# Copies inside the mount share what is committed: cp of a committed file makes
# another name for its bytes, whatever its size, and each goes its own way then.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_command python3
start_pfsd
mkdir "$MNT/r" && mkdir "$MNT/r/b" "$MNT/r/other" && cd "$MNT/r/b" || broken "a branch"
commit() { echo "$1" >.pfs/commit && cat .pfs/commit; }
head -c 40000000 /dev/urandom >"$S/large"
cp "$S/large" large && echo small >small && : >empty
first=$(commit "what is copied")

# Bytes of files that are not the store's alone.
spooled_none() { [ -z "$(find "$DATA" -path '*/spool/*' -type f ! -name .reserve -size +64k)" ]; }
# shared TEXT SOURCE TARGET: cp makes a copy without a byte in the spool.
shared() {
	claim "$1" cp --reflink=auto "$2" "$3"
	claim "... by reference" spooled_none
	claim "... of the same bytes" cmp "$2" "$3"
}
claim "nothing is in the spool" wait_for 20 spooled_none
shared "cp of a committed file" "../$first/large" copy
shared "cp of a clean file of the branch" large second
shared "cp over a file that is there" "../$first/large" second
shared "cp of a copy that is not committed yet" copy third
shared "cp from another branch" large ../other/large
claim "cp -a keeps times and modes" sh -c '
	chmod 600 large && touch -d "2001-02-03 04:05:06.789" large && cp -a large attrs &&
	[ "$(stat -c %a,%.9Y attrs)" = "$(stat -c %a,%.9Y large)" ]'
claim "small and empty files are copied as ever" sh -c "cp '../$first/small' '../$first/empty' ../other && cmp small ../other/small && cmp empty ../other/empty"

# ---- each goes its own way ----
claim "a write into the copy is not seen in what it was copied from" sh -c "
	printf X | dd of=copy bs=1 seek=20000000 conv=notrunc status=none && cmp large '$S/large' && cmp third '$S/large' && ! cmp -s copy large"
second=$(commit "copies")
claim "commits have them as they are" sh -c "cmp copy '../$second/copy' && cmp '../$second/third' '$S/large' && cmp '../$first/large' '$S/large'"
claim "a copy of a changed file copies its changes" sh -c '
	printf Y | dd of=third bs=1 seek=1 conv=notrunc status=none && cp third fourth && cmp third fourth'

cat >"$S/copy.py" <<'END'
import os, sys
M = 1 << 20
def whole(source, flags, before=b"", after=b""):
    """copy_file_range of all of it into a file that the same process goes on writing."""
    s = os.open(source, os.O_RDONLY)
    t = os.open("target", flags | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(t, before)
    size, at = os.fstat(s).st_size, 0
    while at < size:
        n = os.copy_file_range(s, t, size - at, at, at)
        assert n > 0
        at += n
    if after: os.pwrite(t, after, 1000)
    assert os.fstat(t).st_size == size
    os.close(t)
    want = bytearray(open(source, "rb").read())
    want[1000:1000 + len(after)] = after
    assert open("target", "rb").read() == want
def ranges(source):
    """Pieces at odd places, as if bytes were copied."""
    s = os.open(source, os.O_RDONLY)
    t = os.open("target", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    want = bytearray(os.pread(s, 12 * M, 0))
    assert os.copy_file_range(s, t, 12 * M, 0, 0) == 12 * M
    for off, to, n in (5, 100, 3 * M), (M + 1, 10 * M, 4 * M), (20 * M, 0, 77):
        done = 0
        while done < n:
            got = os.copy_file_range(s, t, n - done, off + done, to + done)
            assert got > 0
            done += got
        want[to:to + n] = os.pread(s, n, off)
    assert open("target", "rb").read() == want
for flags in os.O_WRONLY, os.O_RDWR:
    for before in b"", b"12345":
        for after in b"", b"behind":
            whole(sys.argv[1], flags, before, after)
ranges(sys.argv[1])
END
claim "copy_file_range into files that are written before and after" python3 "$S/copy.py" "../$first/large"
claim "... from a file of the branch" python3 "$S/copy.py" large

# ---- durable ----
rm target fourth
commit "all of it" >/dev/null
claim "the spool is empty again" wait_for 20 spooled_none
claim "a copy that was fsync'ed" python3 -c '
import os, sys
s = os.open(sys.argv[1], os.O_RDONLY)
t = os.open("safe", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
assert os.copy_file_range(s, t, 40000000) == 40000000
os.fsync(t)' "../$first/large"
claim "... by reference" spooled_none
claim "another branch is flushed too" sync ../other/large
cd "$S" || exit 1
crash_pfsd
umount -l "$MNT"
start_pfsd
cd "$MNT/r/b" || broken "the branch after a crash"
claim "is there after a crash" cmp safe "$S/large"
claim "a collection keeps what copies name" sh -c "'$PFS' --socket '$SOCK' gc --thorough && cmp safe '$S/large' && cmp ../other/large '$S/large'"
third=$(commit "after the crash")
claim "and so does a commit" cmp "../$third/safe" "$S/large"
cd "$S" || exit 1
claim "fsck finds nothing wrong" "$PFS" --socket "$SOCK" fsck
claim "pfsd ends" stop_pfsd
finish
