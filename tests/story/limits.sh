#!/bin/sh
# What there may be at most: names of any bytes and of 255, paths of 4095, a
# thousand directories in one another, 65,000 names of a file, 100,000 open files,
# a large directory that is removed while it is listed. All of it in a branch, in
# a commit, by HTTP and on the command line; what is more is a clear error.
#
#	ENTRIES   of the large directory, instead of the usual number
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_command python3
start_pfsd
B=$MNT/r/b
claim "a branch" mkdir "$MNT/r" "$B" "$B/n"
limits() { timeout 280 python3 "$STORY_SOURCE/limits.py" "$@"; }
cli() { "$PFS" --socket "$SOCK" "$@"; }
commit() { echo "$1" >"$B/.pfs/commit" && cat "$B/.pfs/commit"; }
http() { curl -sf --unix-socket "$SOCK" "http://localhost$1"; }

claim "names of any bytes" limits names "$B/n"
claim "a path of 4095 bytes" limits long_path "$B"
claim "a thousand directories in one another" limits deep "$B"
first=$(commit "names") || broken "a commit"
C=$MNT/r/$first
claim "names are in the commit" limits names_are_there "$C/n"
claim "... the long path, too" limits long_path_is_there "$C"
claim "... and the deep one" limits deep_is_there "$C"
http "/file/n?repo=r&commit=$first&list&recursive" >"$S/list"
claim "HTTP lists names of any bytes" limits names_in_json - "$S/list"
claim "the command line lists them" sh -c "'$PFS' --socket '$SOCK' list file r@$first:/n -r --raw >'$S/list'"
claim "... all of them" limits names_in_json - "$S/list"
claim "the command line gets them" cli get file "r@$first:/n" -r -o "$S/got"
claim "... as they are" diff -r "$C/n" "$S/got"
# With its route in front a path is longer than a request's may be.
far=$(python3 -c 'print("/".join(["p" * 254] * 16 + ["f" * 15]))')
http_far() { curl -s --unix-socket "$SOCK" "http://localhost/file/$far?repo=r&commit=$first"; }
claim "HTTP is asked for a path of 4095 bytes" http_far
says "... and says that it is too long" "at most 4095 fit"
claim "all of it is removed" rm -rf "$B/n" "$B/renamed" "$B/$(printf '%0254d' 0 | tr 0 p)"
same "nothing is left" "" "$(ls -A "$B")"
mkdir "$B/x"
claim "one directory too deep is EMLINK" limits too_deep "$B/x"
claim "the rest of them is removed" rm -rf "$B/x"

claim "65,000 names of a file, and no more" limits many_links "$B"
second=$(commit "links") || broken "a commit of 65,000 names"
claim "they are in the commit" limits many_links_are_there "$MNT/r/$second"
claim "they are removed" rm -r "$B/links"

claim "a large directory is removed while it is listed" limits removed_while_listed "$B" "${ENTRIES:-8000}"
limit=$(awk '/Max open files/ { print $4 }' "/proc/$PFSD_PID/limits")
spare=$((limit / 4 < 2048 ? limit / 4 : 2048))
number=$((limit - spare - 500))
[ $number -lt 12500 ] || number=12500
claim "100,000 open files" limits open_files "$B" $number
cat "$S/claim.out"
claim "they are removed" rm -r "$B/open"
third=$(commit "after that") || broken "a commit"
claim "the first commit is whole" limits names_are_there "$C/n"
claim "pfsd ends" stop_pfsd

# With few descriptors.
(ulimit -n 1000 && exec "$PFSD" --data "$DATA" --mount "$MNT" --listen "$H" --socket "$SOCK") >>"$S/pfsd.log" 2>&1 &
PFSD_PID=$!
wait_for 20 mountpoint -q "$MNT" || broken "pfsd starts with few descriptors"
claim "one file too many is ENFILE" limits one_too_many "$B" "$(awk '/Max open files/ { print $4 }' "/proc/$PFSD_PID/limits")"
says "... and was one too many" refused
claim "a commit of all of them" commit "many"
claim "pfsd ends" stop_pfsd
claim "a full fsck finds nothing" "$PFS" fsck --data "$DATA" --level full
finish
