#!/bin/sh
# Hard links: several names of one file, in a branch and in its commits, as tar,
# cp and rsync make and look at them; over a clean end and a kill -9 of pfsd.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_command python3
start_pfsd

# groups DIR: "number of names: names" of every file with several names in it, and
# nothing of the numbers themselves, which are each place's own.
groups() {
	(cd "$1" && find . ! -type d -links +1 -printf '%i %n %p\n' | sort -k1,1n -k3 |
		awk '{ if ($1 != last) { if (NR > 1) printf "\n"; printf "%s:", $2 } printf " %s", $3; last = $1 } END { print "" }' | sort)
}
# errno_of PYTHON: what it fails with, "none" when it does not.
errno_of() {
	python3 -c "
import errno, os
try: $1
except OSError as e: print(errno.errorcode[e.errno])
else: print('none')"
}
commit() { echo "$1" >.pfs/commit && cat .pfs/commit; }
same_file() { [ "$(stat -c %i:%h "$1")" = "$(stat -c %i:%h "$2")" ]; }

claim "a branch" mkdir -p "$MNT/r/b"
cd "$MNT/r/b" || broken "cd into a branch"

# ---- one file, several names ----
echo one >a
mkdir d e
claim "ln makes another name" ln a d/a2
claim "and one more" ln d/a2 e/a3
same "all of them are told" 3 "$(stat -c %h a)"
claim "they are one file" same_file a e/a3
echo two >>e/a3
same "what is written at one name is at the others" "one two" "$(paste -sd' ' a)"
claim "a mode set at one name" chmod 600 d/a2
same "is at the others" 600 "$(stat -c %a a)"
claim "rename onto another name of the same file does nothing" \
	python3 -c 'import os; os.rename("a", "d/a2"); assert os.path.samefile("a", "d/a2") and os.stat("a").st_nlink == 3'
claim "unlink takes one" rm d/a2
same "the others are told" 2 "$(stat -c %h e/a3)"
claim "an open file keeps its bytes when all names are gone" python3 -c '
import os
open("x", "w").write("kept"); os.link("x", "y")
f = open("y"); os.unlink("x")
assert os.fstat(f.fileno()).st_nlink == 1, os.fstat(f.fileno())
os.unlink("y")
assert f.read() == "kept" and os.fstat(f.fileno()).st_nlink == 0'
claim "rename over one of them leaves the rest" sh -c '
	echo 1 >n1 && ln n1 n2 && echo other >o && mv o n1 &&
	[ "$(cat n1 n2 | paste -sd, )" = other,1 ] && [ "$(stat -c %h n2)" = 1 ]'
claim "rename of one of them keeps them together" sh -c '
	ln n2 n3 && mv n3 d/n4 && [ n2 -ef d/n4 ] && [ "$(stat -c %h n2)" = 2 ]'
claim "symlinks and fifos have several names too" sh -c '
	ln -s a s && ln -P s s2 && [ "$(stat -c %h s)" = 2 ] && mkfifo p && ln p p2 && [ p -ef p2 ]'
claim "a file without a name gets one, and another" python3 -c '
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o644)
os.write(fd, b"unnamed")
for name in (b"t1", b"t2"):
    assert libc.linkat(fd, b"", -100, name, 0x1000) == 0, os.strerror(ctypes.get_errno())
assert os.fstat(fd).st_nlink == 2 and open("t2").read() == "unnamed"'
same "a name that is there" EEXIST "$(errno_of 'os.link("a", "e/a3")')"
same "a directory" EPERM "$(errno_of 'os.link("d", "d2")')"
same "a file that is not there" ENOENT "$(errno_of 'os.link("none", "d2")')"
mkdir "$MNT/r/other" "$MNT/r2" "$MNT/r2/b"
same "another branch" EXDEV "$(errno_of 'os.link("a", "../other/a")')"
same "another repo" EXDEV "$(errno_of 'os.link("a", "../../r2/b/a")')"
same "a directory that was removed" ENOENT "$(python3 -c '
import errno, os
os.mkdir("gone"); fd = os.open("gone", os.O_DIRECTORY); os.rmdir("gone")
try: os.link("a", "x", dst_dir_fd=fd)
except OSError as e: print(errno.errorcode[e.errno])')"

# ---- commits ----
before=$(groups .)
first=$(commit first)
same "the commit has the same groups" "$before" "$(groups "../$first")"
same "so has the branch" "$before" "$(groups .)"
claim "the commit is what the branch is" diff -r --no-dereference -x p -x p2 . "../$first"
same "nothing is changed after it" "$(cat ../other/.pfs/status)" "$(cat .pfs/status)"
echo three >>a
same "a committed file changed at one name is changed at all" "one two three" "$(paste -sd' ' e/a3)"
claim "a directory with one of its names moves" mv e f
claim "and they are still one file" same_file a f/a3
second=$(commit second)
same "and so they are committed" "$(groups .)" "$(groups "../$second")"
same "the first commit is what it was" "$before" "$(groups "../$first")"
claim "a branch from the commit" ln -s "$second" ../from
same "has the groups too" "$(groups .)" "$(groups ../from)"
echo four >>../from/f/a3
same "one of its files changed at one name" "one two three four" "$(paste -sd' ' ../from/a)"
same "and not here" "one two three" "$(paste -sd' ' a)"

claim "a name that goes behind the mount" sh -c '
	ln a behind && [ "$(stat -c %h a)" = 3 ] && '"'$PFS'"' --socket '"'$SOCK'"' delete file r@b:behind'
claim "is not counted any more" wait_for 10 sh -c '[ "$(stat -c %h a)" = 2 ]'

# ---- the programs that care ----
src=$S/src
mkdir -p "$src/sub/deep"
for i in 1 2 3 4 5 6 7 8; do
	cp /usr/share/common-licenses/GPL-3 "$src/f$i"
	echo "$i" >>"$src/f$i"
	ln "$src/f$i" "$src/sub/g$i"
done
ln "$src/f3" "$src/sub/deep/h"
ln "$src/f3" "$src/sub/deep/i"
want=$(groups "$src")
claim "cp -a" cp -a "$src" cp
same "keeps groups" "$want" "$(groups cp)"
claim "tar" sh -c "mkdir tar && tar -C cp -cf - . | tar -C tar -xf -"
same "keeps groups" "$want" "$(groups tar)"
if command -v rsync >/dev/null 2>&1; then
	claim "rsync -H" rsync -aH "$src/" rsync/
	same "keeps groups" "$want" "$(groups rsync)"
	same "and finds nothing to do the second time" "" "$(rsync -aHin "$src/" rsync/)"
else
	echo "# no rsync here"
fi
if command -v git >/dev/null 2>&1; then
	claim "git clone --local" sh -c '
		mkdir repo && cd repo && git init -q . && cp ../cp/f* . && git add . &&
		git -c user.name=n -c user.email=e commit -q -m first && git clone -q --local . ../clone &&
		cd ../clone && git fsck && [ "$(find .git/objects -type f -links 2 | wc -l)" -gt 3 ]'
else
	echo "# no git here"
fi
third=$(commit third)
same "a commit of all that" "$(groups .)" "$(groups "../$third")"
claim "tar of a commit" sh -c "mkdir $S/out && tar -C ../$third/cp -cf - . | tar -C $S/out -xf -"
same "keeps groups" "$want" "$(groups "$S/out")"

# ---- a restart, and a crash ----
claim "more names that are not committed" sh -c 'ln a late && ln cp/f1 cp/sub/deep/new && rm cp/f8 && mv tar tar2 && sync -f .'
want=$(groups .)
cd / || exit 1
stop_pfsd
start_pfsd
cd "$MNT/r/b" || broken "cd into a branch"
same "a restart keeps groups" "$want" "$(groups .)"
same "and commits" "$(groups cp)" "$(groups "../$(commit fourth)/cp")"
claim "a name and its file, durable by fsync of the directory" python3 -c '
import os
open("durable", "w").write("bytes"); os.link("durable", "cp/durable2")
os.link("tar2/f2", "tar2/f2-too")
fd = os.open("cp", os.O_DIRECTORY); os.fsync(fd)'
want=$(groups .)
cd / || exit 1
crash_pfsd
umount -l "$MNT"
start_pfsd
cd "$MNT/r/b" || broken "cd into a branch"
same "a kill -9 keeps them" "$want" "$(groups .)"
same "with their bytes" bytes "$(cat cp/durable2)"
claim "rm -r of everything" sh -c 'rm -r cp tar2 clone repo && [ ! -e cp ]'
fifth=$(commit fifth)
same "what is left is committed" "$(groups .)" "$(groups "../$fifth")"
same "and the older commit has what it had" "$(groups "$S/out")" "$(groups "../$third/cp")"
cd / || exit 1
claim "pfsd ends cleanly" stop_pfsd
claim "a full fsck finds nothing" "$PFS" fsck --data "$DATA" --level full
finish
