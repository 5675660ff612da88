#!/bin/sh
# Who has a file mapped, or has had it open since before a crash, writes it where
# pfsd does not see it: what is written so is not lost when the branch is
# committed meanwhile, and a commit does not change by it.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
stranger=$PFS_BUILD/tests/stranger
trap '' PIPE
start_pfsd
claim "a branch" mkdir "$MNT/r" "$MNT/r/b"
mkfifo "$S/go"
commit() { echo x >"$MNT/r/b/.pfs/commit" && cat "$MNT/r/b/.pfs/commit"; }
sum() { sha256sum <"$1"; }

# begin HOW NAME SIZE
begin() {
	"$stranger" "$1" "$MNT/r/b/$2" "$3" <"$S/go" >"$S/stranger.out" 2>&1 &
	pid=$!
	exec 5>"$S/go"
	claim "$2: a file of $3 bytes" wait_for 20 grep -q ready "$S/stranger.out"
}
# go_on NAME: it writes, after a commit.
go_on() {
	before=$(sum "$MNT/r/b/$1")
	id=$(commit)
	same "... is committed" "$before" "$(sum "$MNT/r/$id/$1")"
	echo >&5
	exec 5>&-
	claim "... and written then" wait $pid
	same "... the commit is as it was" "$before" "$(sum "$MNT/r/$id/$1")"
	after=$(sum "$MNT/r/b/$1")
	[ "$after" != "$before" ] || broken "... what was written is there"
	id=$(commit)
	same "... and in the next commit" "$after" "$(sum "$MNT/r/$id/$1")"
	same "... and after it" "$after" "$(sum "$MNT/r/b/$1")"
}

for size in 5000 300000 3000000 40000000; do
	begin mapped mapped$size $size
	go_on mapped$size
done
begin mapped read 300000
exec 6<"$MNT/r/b/read"
go_on read
exec 6<&-
# Where nothing is passed through, who had a file open is cut off with pfsd.
through=$(grep -c 'features=.*passthrough' "$S/pfsd.log")
for size in 5000 40000000; do
	[ "$through" -gt 0 ] || break
	begin open open$size $size
	crash_pfsd
	umount -l "$MNT"
	start_pfsd
	go_on open$size
done
claim "nothing is left to be committed" wait_for 5 sh -c "commit() { echo x >'$MNT/r/b/.pfs/commit'; }; commit && [ ! -s '$MNT/r/b/.pfs/status' ]"
claim "pfsd ends" stop_pfsd
claim "a full fsck finds nothing" "$PFS" fsck --data "$DATA" --level full
finish
