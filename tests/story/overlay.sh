#!/bin/sh
# A branch as the upper directory of an overlayfs(5), as container engines stack
# layers: what is hidden, renamed and replaced there stays so through commits,
# and a committed layer is stacked again.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_command python3
grep -qw overlay /proc/filesystems || modprobe overlay 2>/dev/null || skip "needs overlayfs"
start_pfsd
BRANCH=$MNT/r/b
mkdir "$MNT/r" && mkdir "$BRANCH" && cd "$BRANCH" || broken "a branch"
mkdir lower upper work "$S/merged" && mkdir -p lower/etc lower/gone
echo old >lower/etc/conf && echo keep >lower/etc/keep && echo x >lower/gone/x
head -c 3000000 /dev/urandom >lower/large && cp lower/large "$S/large"
echo base >.pfs/commit && base=$(cat .pfs/commit)
cd "$S" || exit 1
stack() { # LOWER [OPTION]
	mount -t overlay overlay -o "lowerdir=$1${2:-}" "$S/merged"
}
WRITABLE=,upperdir=$BRANCH/upper,workdir=$BRANCH/work
claim "a branch is the upper directory of an overlay" stack "$MNT/r/$base/lower" "$WRITABLE"

change() {
	echo new >>"$S/merged/etc/conf" && rm "$S/merged/etc/keep" && rm -r "$S/merged/gone" &&
		mkdir "$S/merged/gone" && echo other >"$S/merged/gone/y" &&
		mv "$S/merged/etc/conf" "$S/merged/etc/moved" && mv "$S/merged/large" "$S/merged/larger"
}
is_changed() {
	[ "$(cd "$S/merged" && find . ! -type d | LC_ALL=C sort | tr '\n' ' ')" = "./etc/moved ./gone/y ./larger " ] &&
		[ "$(cat "$S/merged/etc/moved")" = "old
new" ] && cmp "$S/large" "$S/merged/larger"
}
is_whiteout() { [ "$(stat -c '%F %t:%T' "$1")" = "character special file 0:0" ]; }
claim "names of the lower one go, come and move" change
claim "and that is what is seen" is_changed
claim "a whiteout hides what moved away" is_whiteout "$BRANCH/upper/etc/conf"
claim "it ends" umount "$S/merged"
claim "the branch is committed" sh -c "echo layer >'$BRANCH/.pfs/commit'"
layer=$(cat "$BRANCH/.pfs/commit")
claim "the commit has the whiteout" is_whiteout "$MNT/r/$layer/upper/etc/conf"
claim "the committed layer is stacked, read-only" stack "$MNT/r/$layer/upper:$MNT/r/$base/lower"
claim "and shows the same" is_changed
claim "it ends, too" umount "$S/merged"

# ---- rename(2) with RENAME_WHITEOUT itself ----
cat >"$S/rename.py" <<'E2'
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
old, new, flags = os.fsencode(sys.argv[1]), os.fsencode(sys.argv[2]), int(sys.argv[3])
if libc.renameat2(-100, old, -100, new, flags) < 0:
    sys.exit(os.strerror(ctypes.get_errno()))
E2
cd "$BRANCH" && mkdir d && echo a >d/a && echo b >d/b || broken "files to rename"
claim "a name moves and leaves a whiteout" python3 "$S/rename.py" d/a d/c 4
claim "... a device 0/0" is_whiteout d/a
same "... and what moved is there" a "$(cat d/c)"
refuse "nothing is replaced that is not to be" python3 "$S/rename.py" d/b d/c 5
same "... and then nothing is hidden" b "$(cat d/b)"
refuse "names that are exchanged leave none" python3 "$S/rename.py" d/b d/c 6
claim "a directory moves and leaves one" python3 "$S/rename.py" d e 4
claim "... at its name" is_whiteout d
cd "$S" || exit 1
claim "pfsd is stopped" stop_pfsd
start_pfsd
claim "the whiteouts are there when it is started again" is_whiteout "$BRANCH/d"
claim "pfsd ends" stop_pfsd
claim "nothing is damaged" "$PFS" fsck --data "$DATA"
finish
