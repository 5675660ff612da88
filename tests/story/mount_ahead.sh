#!/bin/sh
# What a listing of a commit prepares before it is asked for: the kernel is told
# every name once, however it reads, and what it never asks for counts for nothing.
# A name that cannot be read is an error, and not one name less.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_command python3

claim "a commit of directories of 3000 names" "$PFS_BUILD/tests/bench_million" "$DATA" 12000 3000 only
mkdir "$MNT"
claim "listings are prepared and taken back" python3 "$STORY_SOURCE/ahead.py" "$PFS_BUILD/tests/mountonly" "$DATA" "$MNT"
grep "^skipped" "$S/claim.out"

# ---- names that cannot be read ----
# Wherever a bit is flipped: all names, or an error; never fewer names without one, and the
# second time neither, when the kernel might have kept what it was told.
names() { find "$MNT/million/$1" -mindepth 1 2>/dev/null; }
start_pfsd --maintenance off
HEAD=$(cat "$MNT/million/master/.pfs/head")
ALL=$(names "$HEAD" | wc -l)
claim "the commit is listed" [ "$ALL" -ge 12000 ]
stop_pfsd
cp -r "$DATA" "$S/whole"
failed=0
for at in 1 2 3 4 5 6 7 8 9; do
	rm -rf "$DATA" && cp -r "$S/whole" "$DATA"
	python3 - "$DATA" $at <<'PY'
import pathlib, sys
for pack in pathlib.Path(sys.argv[1], "store").glob("**/*.pk"):
    with open(pack, "r+b") as f:
        f.seek(pack.stat().st_size * int(sys.argv[2]) // 10)
        byte = f.read(1)
        f.seek(-1, 1)
        f.write(bytes([byte[0] ^ 1]))
PY
	start_pfsd --maintenance off
	for time in once twice; do
		if names "$HEAD" >"$S/names"; then
			same "listed without an error $time, all are there ($at)" "$ALL" "$(wc -l <"$S/names")"
		else
			failed=$((failed + 1))
		fi
	done
	stop_pfsd
done
claim "some of it could not be read" [ $failed -gt 0 ]
finish
