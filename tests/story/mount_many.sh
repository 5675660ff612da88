#!/bin/sh
# A directory with more names than a listing brings attributes for: each name is
# listed once, and whoever asks for attributes is told them, listed or not.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_command python3

n=140000
claim "a commit of many names in one directory" "$PFS_BUILD/tests/bench_million" "$DATA" $n $n only
start_pfsd
commit=$MNT/million/$(cat "$MNT/million/master/.pfs/head")
python3 -c "print(*('file-%08d.txt' % i for i in range($n)), sep='\n')" >"$S/names"

same "nobody is forgotten and nobody told twice" "$n $n" \
	"$(ls -f "$commit/d0000" | grep -v '^\.' | tee "$S/listed" | wc -l) $(sort -u "$S/listed" | wc -l)"
claim "they come in order of bytes" cmp "$S/names" "$S/listed"
same "the last one has its size and mode" "400 644 regular file" \
	"$(stat -c '%s %a %F' "$commit/d0000/file-00$((n - 1)).txt")"
ls -f "$commit/d0000" | grep -v '^\.' >"$S/again"
claim "a listing that the kernel kept is the same" cmp "$S/names" "$S/again"
same "all have size and time" $n "$(find "$commit/d0000" -type f -size 400c -newermt 2023-11-14 | wc -l)"

# Of the last names the kernel was told nothing else, and it keeps that: when it has asked
# for a few it drops the listing. Again, should it have lost what it was told of the first.
answers() { awk '/^syscw/ { print $2 }' "/proc/$PFSD_PID/io"; }
asks_few() {
	for _ in 1 2 3; do
		stop_pfsd
		start_pfsd
		ls -f "$commit/d0000" >"$S/again"
		before=$(answers)
		find "$commit/d0000" -size 400c >"$S/found"
		[ $(($(answers) - before)) -ge 15000 ] || return 0
		echo "$(($(answers) - before)) answers"
	done
	return 1
}
claim "who looks at names that were listed before does not ask for each" asks_few

# Reading one name while a listing is under way asks for attributes from there on.
stop_pfsd
start_pfsd
cat >"$S/walk.py" <<'END'
import os, sys
seen = 0
for entry in os.scandir(sys.argv[1]):
    if entry.stat(follow_symlinks=False).st_size != 400:
        sys.exit(f"{entry.name}: {entry.stat()}")
    seen += 1
print(seen)
END
same "who lists and looks in turn sees the same" $n "$(python3 "$S/walk.py" "$commit/d0000")"
same "and so does a branch" $n "$(python3 "$S/walk.py" "$MNT/million/master/d0000")"
claim "a directory of a branch lists them in order" sh -c "ls -f '$MNT/million/master/d0000' | grep -v '^\.' | cmp '$S/names' -"
finish
