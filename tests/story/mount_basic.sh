#!/bin/sh
# The mount as people use it: the everyday tools, on a branch, with what they
# leave compared with what they leave on a local file system; then a commit,
# which must hold the same bytes and take no more writes.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_command python3
need_command diff
start_pfsd

# Real input: a source tree and texts that every Debian has.
src=$S/src
mkdir "$src"
cp -rL /usr/share/common-licenses "$src/texts"
cp -r "$PROJECT/src" "$src/code"
mkdir "$src/empty"
files=$(find "$src" -type f | wc -l)

claim "mkdir makes a repo" mkdir "$MNT/r"
claim "mkdir makes a branch" mkdir "$MNT/r/b"
cd "$MNT/r/b" || broken "cd into a branch"

# ---- tools ----
claim "cp -r copies a tree in" cp -r "$src" tree
claim "the tree reads back" diff -r "$src" tree
same "find sees every file" "$files" "$(find tree -type f | wc -l)"
claim "mv renames a directory" mv tree moved
claim "what is in it moved along" diff -r "$src" moved
refuse "the old name is gone" test -e tree
claim "tar copies a tree" sh -c "mkdir tarred && tar -C moved -cf - . | tar -C tarred -xf -"
claim "the untarred tree is the same" diff -r "$src" tarred
stamps() { (cd "$1" && find . -type f -printf '%p %T@\n' | sed 's/\.[0-9]*$//' | sort); }
stamps moved >"$S/times.moved"
stamps tarred >"$S/times.tarred"
claim "tar kept the times" cmp "$S/times.moved" "$S/times.tarred"
if command -v rsync >/dev/null 2>&1; then
	claim "rsync copies a tree" rsync -a "$src/" synced/
	same "rsync finds nothing to do the second time" "" "$(rsync -ain "$src/" synced/)"
else
	echo "# no rsync here"
fi

printf 'abc' >f
claim "chmod sets the mode" chmod 640 f
same "stat shows the mode" 640 "$(stat -c %a f)"
claim "chown sets the owner" chown 12:34 f
same "stat shows the owner" 12:34 "$(stat -c %u:%g f)"
claim "touch sets the time" touch -d '2001-02-03 04:05:06.789 UTC' f
same "stat shows the time" 981173106.789000000 "$(stat -c %.9Y f)"
claim "truncate cuts" truncate -s 2 f
same "what was cut is gone" ab "$(cat f)"
claim "truncate extends" truncate -s 5 f
same "the rest is zero" 6162000000 "$(od -An -tx1 f | tr -d ' \n')"
claim "dd writes into the middle" sh -c "printf XY | dd of=f bs=1 seek=1 conv=notrunc status=none"
same "only the middle changed" 6158590000 "$(od -An -tx1 f | tr -d ' \n')"
claim "a sparse file of a gigabyte" truncate -s 1G sparse
claim "it takes no room" test "$(stat -c %b sparse)" -lt 64
claim "a byte at its end" sh -c "printf z | dd of=sparse bs=1 seek=1073741823 conv=notrunc status=none"
same "the byte is there" z "$(tail -c 1 sparse)"
claim "it still takes little room" test "$(stat -c %b sparse)" -lt 1024
rm sparse
claim "ln -s makes a symlink" ln -s moved/texts link
same "readlink reads it" moved/texts "$(readlink link)"
claim "it is followed" test -f link/GPL-3
claim "ln makes a hard link" sh -c 'ln f hard && [ f -ef hard ] && [ "$(stat -c %h f)" = 2 ] && rm hard'
claim "a fifo" mkfifo fifo
claim "shells append" sh -c 'echo a >app; echo b >>app; echo c >>app'
same "in order" "a b c" "$(tr '\n' ' ' <app | sed 's/ $//')"

# ---- open files ----
claim "rename over an open file leaves the reader the old bytes" sh -c '
	echo one >old; echo two >new
	exec 5<old; mv new old
	[ "$(cat <&5)" = one ] && [ "$(cat old)" = two ]'
claim "an open file that is unlinked reads and writes" python3 -c '
import os
fd = os.open("u", os.O_CREAT | os.O_RDWR)
os.write(fd, b"before"); os.unlink("u"); os.write(fd, b"after")
assert os.pread(fd, 100, 0) == b"beforeafter" and os.fstat(fd).st_size == 11
assert not os.path.exists("u")'
claim "mmap reads and writes" python3 -c '
import mmap, os
with open("m", "w+b") as f:
    f.truncate(1 << 20)
    with mmap.mmap(f.fileno(), 1 << 20) as m:
        m[123456:123461] = b"hello"
        m.flush()
assert open("m", "rb").read()[123456:123461] == b"hello"'
claim "a file without a name gets one" python3 -c '
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o644)
os.write(fd, b"unnamed")
assert libc.linkat(fd, b"", -100, b"named", 0x1000) == 0, os.strerror(ctypes.get_errno())
os.close(fd)
assert open("named").read() == "unnamed"'
claim "renameat2 exchanges, and refuses to replace" python3 -c '
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
open("x1", "w").write("1"); open("x2", "w").write("2")
assert libc.renameat2(-100, b"x1", -100, b"x2", 1) == -1 and ctypes.get_errno() == 17
assert libc.renameat2(-100, b"x1", -100, b"x2", 2) == 0
assert open("x1").read() == "2" and open("x2").read() == "1"'
claim "holes are found" python3 -c '
import os
fd = os.open("h", os.O_CREAT | os.O_RDWR)
os.pwrite(fd, b"end", 1 << 24)
assert os.lseek(fd, 0, os.SEEK_HOLE) == 0
assert 0 < os.lseek(fd, 0, os.SEEK_DATA) <= 1 << 24
try: os.lseek(fd, 1 << 30, os.SEEK_DATA)
except OSError as e: assert e.errno == 6, e
else: raise SystemExit("no ENXIO")'

# ---- names ----
claim "names of any bytes" python3 -c '
import os
names = [b"a b", b"new\nline", b"inv\xff\xfe\x80", b"-rf", b"x" * 255, "ümläut".encode()]
for n in names: open(b"./" + n, "wb").write(n)
assert set(names) <= set(os.listdir(b"."))
for n in names:
    assert open(b"./" + n, "rb").read() == n
    os.unlink(b"./" + n)
for bad, want in ((b"y" * 256, 36),):
    try: open(bad, "wb")
    except OSError as e: assert e.errno == want, e
    else: raise SystemExit("too long a name was taken")'

# ---- programs that ask much of a file system ----
claim "sqlite works in WAL mode" python3 -c '
import sqlite3
d = sqlite3.connect("t.db"); d.execute("pragma journal_mode=wal"); d.execute("create table t(a)")
for i in range(100): d.execute("insert into t values(?)", (i,)); d.commit()
d.close(); d = sqlite3.connect("t.db")
assert d.execute("select sum(a) from t").fetchone()[0] == 4950
assert d.execute("pragma integrity_check").fetchone()[0] == "ok"'
claim "sqlite works with a rollback journal" python3 -c '
import sqlite3
d = sqlite3.connect("j.db"); d.execute("pragma journal_mode=delete"); d.execute("create table t(a)")
for i in range(30): d.execute("insert into t values(?)", (i,)); d.commit()
d.execute("delete from t"); d.rollback()
assert d.execute("select count(*) from t").fetchone()[0] == 30'
if command -v git >/dev/null 2>&1; then
	claim "git: init, commit, gc, fsck, clone" sh -c '
		mkdir repo && cd repo && git init -q . && cp -r ../moved/. . && git add . &&
		git -c user.name=n -c user.email=e commit -q -m first && git gc -q && git fsck &&
		git clone -q . ../clone && diff -r ../moved/code ../clone/code'
else
	echo "# no git here"
fi

# ---- commits ----
refuse "nobody takes the control folder away" rmdir .pfs
refuse "nor its name" mv moved .pfs
refuse "it is not listed" sh -c 'ls -A | grep -qx .pfs'
claim "it is there" test -f .pfs/commit
claim "echo into .pfs/commit commits" sh -c 'echo "the first" >.pfs/commit'
first=$(cat .pfs/head)
same "the log tells it" "the first" "$(cut -d' ' -f3- .pfs/log)"
claim "the commit is what the branch is" diff -r --no-dereference -x fifo . "../$first"
for path in f moved/code new moved/texts/GPL-3; do
	same "writing to $path of the commit is EROFS" EROFS "$(python3 -c '
import errno, os, sys
try: os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o644)
except OSError as e: print({"EISDIR": "EROFS"}.get(errno.errorcode[e.errno], errno.errorcode[e.errno]))
else: print("opened")' "../$first/$path")"
done
refuse "removing from the commit" rm -f "../$first/f"
refuse "renaming in the commit" mv "../$first/f" "../$first/g"
refuse "chmod in the commit" chmod 777 "../$first/f"

echo changed >>moved/texts/BSD
echo more >added
rm app
claim "printf into .pfs/commit commits and reads back" sh -c 'printf second >.pfs/commit && cat .pfs/commit'
second=$(cat .pfs/commit)
claim "the second commit is what the branch is" diff -r --no-dereference -x fifo . "../$second"
same "the two commits differ in what was changed" "3" \
	"$(diff -rq --no-dereference -x fifo "../$first" "../$second" | wc -l)"
same ".pfs/diff says so" "+ added;- app;M moved/texts/BSD" \
	"$(grep -v '/$' "../$second/.pfs/diff" | paste -sd';')"
claim "the parent has a name" diff -r --no-dereference -x fifo "../b^" "../$first"
claim "the first commit has a number" test -d ../b.1/moved
claim "a prefix names it" test -d "../$(echo "$first" | cut -c1-10)/moved"
claim "hashes are attributes" python3 -c '
import os, sys
a, b = sys.argv[1:]
h = lambda p: os.getxattr(p, "user.pfs.hash")
assert h(a + "/moved/code") == h(b + "/moved/code") and h(a) != h(b)
assert h(a + "/moved/texts/BSD") != h(b + "/moved/texts/BSD")
assert int(os.getxattr(a, "user.pfs.files")) > 10' "../$first" "../$second"
claim "a branch from a revision by ln -s" ln -s "b^" ../old
claim "it holds what the revision holds" diff -r --no-dereference -x fifo ../old "../$first"
refuse "a branch that would take its commit along stays" rmdir ../b
claim "mv renames a branch" mv ../old ../older
refuse "but no commit" mv "../$first" ../other
says "which is read-only" "Read-only file system"
claim "and it works under that name" sh -c 'echo y >../older/y && cat ../older/y'
claim "a message beyond the limit fails at close" python3 -c '
import errno, os
fd = os.open(".pfs/commit", os.O_WRONLY | os.O_TRUNC)
os.write(fd, b"x" * 60000)
try: os.write(fd, b"x" * 60000)
except OSError as e: assert e.errno == errno.EFBIG, e
else: raise SystemExit("the write was taken")
try: os.close(fd)
except OSError as e: assert e.errno == errno.EFBIG, e
else: raise SystemExit("the close succeeded")'
same "and commits nothing" "$second" "$(cat .pfs/head)"

mkdir "$MNT/loud" "$MNT/loud/b"
printf 'a \033[31mred\tword\nmore' >"$MNT/loud/b/.pfs/commit"
same "what a terminal would obey is a question mark in the log" "a ?[31mred?word" "$(cut -d ' ' -f 3- "$MNT/loud/b/.pfs/log")"

# ---- names that are not for everybody ----
# From inside: the folder of this story is not for others either.
as_nobody() { (cd "$MNT/loud" && exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"); }
mkdir -m 700 "$MNT/loud/b/private" && touch "$MNT/loud/b/private/plan"
claim "the owner of a branch is told what is new" grep -q "+ private/plan" "$MNT/loud/b/.pfs/status"
echo >"$MNT/loud/b/.pfs/commit"
head=$(cat "$MNT/loud/b/.pfs/head")
for each in b/.pfs/status b/.pfs/diff "$head/.pfs/diff"; do
	refuse "others do not read $(basename "$each")" as_nobody cat "$each"
done
claim "they read the log" as_nobody cat b/.pfs/log
claim "and the head" as_nobody cat "$head/.pfs/head"

# ---- the end ----
(
	cd moved || exit 1
	exec python3 -c '
import os, time
f = open("texts/BSD", "rb"); f.read(1)
w = open("texts/held", "w"); w.write("x"); w.flush()
d = os.open(".", os.O_RDONLY); os.listdir(d)
time.sleep(60)'
) &
user=$!
claim "somebody uses the mount" wait_for 5 test -s moved/texts/held
cd "$S" || exit 1
claim "SIGTERM unmounts, whoever uses it" stop_pfsd
kill "$user"
wait "$user" 2>/dev/null
refuse "nothing is mounted" mountpoint -q "$MNT"
start_pfsd
claim "what the user had written is there" rm "$MNT/r/b/moved/texts/held"
claim "all is there after a restart" diff -r --no-dereference -x fifo "$MNT/r/b" "$MNT/r/$second"
claim "the old commit too" diff -r "$src/code" "$MNT/r/$first/moved/code"
crash_pfsd
start_pfsd
claim "a dead mount is cleared when pfsd starts again" diff -r "$src/code" "$MNT/r/$first/moved/code"
finish
