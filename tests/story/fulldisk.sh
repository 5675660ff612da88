#!/bin/sh
# The disk is full, in the middle of everything: writing, changing in place,
# syncing, committing, collecting, starting. Each says so, nothing is lost, and
# all of it works once there is room.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_command python3

truncate -s 128M "$S/disk"
mkfs.ext4 -q -F -m 0 "$S/disk" 2>/dev/null || skip "needs mkfs.ext4"
mkdir "$S/small"
mount -o loop "$S/disk" "$S/small" 2>/dev/null || skip "needs a loop device"
DATA=$S/small/data
start_pfsd

top=$MNT/data/master
cli() { "$PFS" --socket "$SOCK" "$@"; }
fsck_full() { cli fsck --level full; }
sum() { (cd "$1" && find . -type f | sort | xargs sha256sum); }

# Writes files of 300 KB below a folder until it is refused; says by what errno.
fill() {
	python3 - "$1" <<'EOF'
import errno, os, sys
os.makedirs(sys.argv[1], exist_ok=True)
for i in range(100000):
    try:
        with open(f"{sys.argv[1]}/{i}", "wb", buffering=0) as f:
            data = os.urandom(300000)
            while data:
                data = data[f.write(data):]
    except OSError as e:
        print(errno.errorcode[e.errno])
        break
EOF
}

# Fills the disk until it stays full, three times in a row. What was removed may give its
# room back later: when the kernel lets go of the last file of it, and with the disk's own
# journal.
brim() {
	last=
	full=0
	for turn in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
		last=$(fill "$1/$turn")
		sync -f "$S/small"
		full=$((full + 1))
		[ "$(find "$1/$turn" -size 300000c | wc -l)" = 0 ] || full=0
		[ "$full" -ge 3 ] && break
		sleep 0.2
	done
	echo "$last"
}

# Takes every block that there is, past pfs, until hardly any is left.
outside() {
	for turn in $(seq 30); do
		cat /dev/zero >>"$S/small/outside" 2>/dev/null
		sync -f "$S/small"
		left=$(df --output=avail "$S/small" | tail -n 1)
		[ "$left" -lt 64 ] && break
		sleep 0.1
	done
	echo "$left KiB are left on the disk"
}

# Makes names until they are refused; says by what errno.
names() {
	python3 - "$1" <<'EOF'
import errno, os, sys
try:
    os.mkdir(sys.argv[1])
    for i in range(20000):
        os.symlink("nowhere", f"{sys.argv[1]}/a name as long as that of any other file {i}")
except OSError as e:
    print(errno.errorcode[e.errno])
EOF
}

# Changes each of the committed files of a folder until that is refused; says by what errno.
change() {
	python3 - "$@" <<'EOF'
import errno, os, sys
folder, how = sys.argv[1:]
changes = {
    "rename": lambda path: os.rename(path, path + " renamed"),
    "chmod": lambda path: os.chmod(path, os.stat(path).st_mode ^ 0o70),
    "truncate": lambda path: os.truncate(path, 0),
    "setxattr": lambda path: os.setxattr(path, "user.large", os.urandom(60000)),
}
try:
    for name in sorted(os.listdir(folder)):
        changes[how](f"{folder}/{name}")
except OSError as e:
    print(errno.errorcode[e.errno])
EOF
}

# Some room may have come back: then not all of them are too many.
refuses() {
	for try in 1 2 3 4 5; do
		[ "$(change "$top/many" "$1")" = ENOSPC ] && return 0
		brim "$top/again/$1$try" >/dev/null
	done
	return 1
}

# Some room may have come back: then all is written down, and pfsd is started anew.
stays() {
	for try in 1 2 3 4 5; do
		ready=$(grep -c pfsd.ready "$S/pfsd.log")
		kill -HUP "$PFSD_PID"
		wait_for 15 sh -c "grep -q pfsd.not_reloaded '$S/pfsd.log' || [ \$(grep -c pfsd.ready '$S/pfsd.log') -gt $ready ]"
		grep -q pfsd.not_reloaded "$S/pfsd.log" && return 0
		brim "$top/again/$try" >/dev/null
		names "$top/names/$try" >/dev/null
	done
	return 1
}

# The errno of writing `count` bytes at an offset of a file and syncing them.
overwrite() {
	python3 - "$@" <<'EOF'
import errno, os, sys
try:
    fd = os.open(sys.argv[1], os.O_WRONLY)
    for i in range(int(sys.argv[3])):
        data, at = os.urandom(1 << 20), int(sys.argv[2]) + i * (1 << 20)
        while data: # what fits is written, and told by the count
            n = os.pwrite(fd, data, at)
            data, at = data[n:], at + n
    os.fsync(fd)
except OSError as e:
    print(errno.errorcode[e.errno])
EOF
}

# store FILE SIZE SEED: through a shared mapping, a byte in each page; 135: SIGBUS, 1: an error.
store() {
	timeout 60 python3 - "$@" <<'EOF'
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
size, seed = int(sys.argv[2]), int(sys.argv[3])
if os.fstat(fd).st_size < size: os.ftruncate(fd, size)
m = mmap.mmap(fd, size)
for at in range(0, size, 4096): m[at] = (at // 4096 + seed) % 251 + 1
m.flush()
os.fsync(fd)
EOF
}
stored() {
	python3 - "$@" <<'EOF'
import sys
data = open(sys.argv[1], "rb").read()
for at in range(0, int(sys.argv[2]), 4096): assert data[at] == (at // 4096 + int(sys.argv[3])) % 251 + 1, at
EOF
}
fails_at_once() {
	"$@"
	case $? in
	1 | 135) return 0 ;;
	*) return 1 ;;
	esac
}

commit_code() { curl -s -o "$S/claim.out" -w '%{http_code}' -XPOST --unix-socket "$SOCK" "http://localhost/commit?repo=data&branch=master"; }

mkdir "$MNT/data" "$top" "$MNT/gone" "$MNT/gone/master" "$top/d"
head -c 20000000 /dev/urandom >"$top/huge"
for i in 1 2 3 4 5 6 7 8 9; do head -c 30000 /dev/urandom >"$top/d/$i"; done
mkdir "$top/many"
(cd "$top/many" && for i in $(seq -f "a-committed-file-with-a-name-of-some-length-%05g" 4000); do echo >"$i"; done)
echo one >"$top/.pfs/commit"
first=$(cat "$top/.pfs/commit")
sum "$MNT/data/$first" >"$S/first.sums"
whole() { sum "$MNT/data/$first" | cmp - "$S/first.sums"; }
head -c 15000000 /dev/urandom >"$MNT/gone/master/x"
echo gone >"$MNT/gone/master/.pfs/commit"

same "writing on a full disk is ENOSPC" ENOSPC "$(fill "$top/more")"
rm "$top/more/0"
brim "$top/more2" >/dev/null
(cd "$top" && find more more2 -type f -size 300000c | sort | xargs sha256sum) >"$S/more.sums"
kept() { (cd "$top" && sha256sum --quiet -c "$S/more.sums"); }
claim "something was written until then" test -s "$S/more.sums"
claim "what was written until then is there" kept
same "changing a large committed file in place is ENOSPC" ENOSPC "$(overwrite "$top/huge" 1000000 8)"
code=$(commit_code)
case $code in
507) says "a commit says why" space ;;
*) cat "$S/claim.out"; broken "a commit on a full disk is 507, got $code" ;;
esac
claim "it is on the branch still" kept
claim "the first commit is whole" whole
same "and the head" "$first" "$(cat "$top/.pfs/head")"
# Finding out what changed needs some room, as a commit does.
cat "$top/.pfs/status" >"$S/claim.out" 2>&1 || says "status says why" "No space left"
claim "fsck works, and finds nothing" fsck_full

# Killed and started on the full disk.
# An fsync has no room to say where things are, and says that; when something was
# removed there is room.
rm "$top/more/1"
grep -v ' more/1$' "$S/more.sums" >"$S/sums" && mv "$S/sums" "$S/more.sums"
claim "an fsync works after a file was removed" python3 -c "import os; os.fsync(os.open('$top', os.O_RDONLY))"
crash_pfsd
umount -l "$MNT" 2>/dev/null
start_pfsd --without io_uring --maintenance off
claim "the first commit is whole after a crash on a full disk" whole
claim "what was synced is there" kept

# Ended, and started when somebody else has taken what was left.
claim "pfsd ends" stop_pfsd
outside
start_pfsd --without io_uring --maintenance off
claim "it starts where there is no room" whole
claim "with all that was there" kept
outside

# Garbage goes without room for more.
claim "a repo is deleted on a full disk" cli delete repo gone --force
claim "and collected" cli gc --thorough
claim "which gave room" test "$(df --output=avail "$S/small" | tail -n 1)" -gt 5000
claim "the first commit is whole" whole
claim "the branch is as it was" kept

# Full again; removing files makes room for the rest.
same "full again" ENOSPC "$(brim "$top/again")"
# More names than can be written down are refused, and pfsd does not let go of them.
same "names are ENOSPC, too" ENOSPC "$(names "$top/names")"
claim "so are renames" refuses rename
claim "other modes" refuses chmod
claim "other sizes" refuses truncate
claim "and large attributes" refuses setxattr
exec 7<"$top/d/1"
claim "pfsd is not started anew while it cannot say what is there" stays
if grep "pfsd.not_reloaded.*cannot send requests again" "$S/pfsd.log" >"$S/claim.out"; then
	echo "skipped: $(cat "$S/claim.out")"
else
	claim "for want of room" grep -q "pfsd.not_reloaded.*full" "$S/pfsd.log"
fi
claim "who has a file open goes on" sh -c 'cat <&7 | cmp - "$1"' - "$top/d/1"
exec 7<&-
claim "what could not be written down can be removed" rm -r "$top/names"
claim "storing into a new file through a mapping fails, and does not hang" fails_at_once store "$top/again/mapped" 40000000 1
claim "... into a large committed one, too" fails_at_once store "$top/huge" 20000000 2
rm -r "$top/again"
claim "what is removed gives its room back all the same" wait_for 10 sh -c "[ \$(df --output=avail '$S/small' | tail -n 1) -gt 8000 ]"
# What was stored into the committed file is in memory still, and needs room, too.
rm -r "$top/more" && mkdir "$top/more"
claim "storing goes on when there is room" store "$top/mapped" 3000000 3
claim "... and is there" stored "$top/mapped" 3000000 3
claim "a commit works when there is room" sh -c "echo two > '$top/.pfs/commit'"
second=$(cat "$top/.pfs/commit")
claim "it has what was stored" stored "$MNT/data/$second/mapped" 3000000 3
claim "it is another one" test "$second" != "$first"
(cd "$MNT/data/$second" && find more more2 -type f | sort | xargs sha256sum) >"$S/second.sums"
claim "it is what was on the branch" sh -c "cd '$top' && sha256sum --quiet -c '$S/second.sums'"
claim "the first one is whole" whole

# A collection that has to copy what is wanted, with no room for it.
rm -r "$top/more"
echo three >"$top/.pfs/commit"
brim "$top/last" >/dev/null
if cli gc --thorough >"$S/claim.out" 2>&1; then
	echo "ok - a collection found a way"
else
	says "a collection without room says so" space
fi
claim "the first commit is whole" whole
claim "so is the second" sh -c "cd '$MNT/data/$second' && sha256sum --quiet -c '$S/second.sums'"
rm -r "$top/last"
claim "a collection works when there is room" cli gc --thorough
claim "the last commit" sh -c "echo four > '$top/.pfs/commit'"
claim "pfsd ends cleanly" stop_pfsd
start_pfsd
claim "all of it is there after a restart" whole
claim "a full fsck finds nothing" fsck_full
finish
