#!/bin/sh
# What a listing of a commit prepares before it is asked for: the kernel is told
# every name once, however it reads, and what it never asks for counts for nothing.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_command python3

claim "a commit of directories of 3000 names" "$PFS_BUILD/tests/bench_million" "$DATA" 9000 3000 only
mkdir "$MNT"
claim "listings are prepared and taken back" python3 "$STORY_SOURCE/ahead.py" "$PFS_BUILD/tests/mountonly" "$DATA" "$MNT"
finish
