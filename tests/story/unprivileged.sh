#!/bin/sh
# Without root: somebody runs a pfsd of his own, on a folder of his own, and mounts by
# fusermount3. Whatever needs more rights than he has is missed by nobody.
if [ "${UNPRIVILEGED_APART:-}" = "" ]; then
	# In a table of mounts of our own: only we see another /etc/fuse.conf.
	unshare --mount --propagation private true 2>/dev/null ||
		{ echo "skipped: needs root, and unshare(1)"; exit 77; }
	UNPRIVILEGED_APART=1 exec unshare --mount --propagation private "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_command python3
need_command setpriv
need_command fusermount3
[ -u "$(command -v fusermount3)" ] || skip "needs a fusermount3 with its set-id bit"
[ -w /dev/fuse ] && [ "$(stat -c %a /dev/fuse)" = 666 ] || skip "needs a /dev/fuse for everybody"

# Those that any machine has: fusermount3 wants to know their names.
USER_ID=$(id -u nobody) || skip "needs a user nobody"
OTHER_ID=$(id -u daemon) || skip "needs a user daemon"
# Programs that everybody may run.
everybodys=PATH=/usr/local/bin:/usr/bin:/bin
he() { setpriv --reuid="$USER_ID" --regid="$USER_ID" --clear-groups env $everybodys "$@"; }
other() { setpriv --reuid="$OTHER_ID" --regid="$OTHER_ID" --clear-groups env $everybodys "$@"; }
his_shell() { he sh -c "$1"; }
unmounted() { ! grep -q " $1 " /proc/self/mountinfo; }
mounted() { ! unmounted "$1"; }
count_log() { grep -c "$1" "$S/home/log"; }
logged() { [ "$(count_log "$1")" -ge "$2" ]; }

# Where we build may be closed to him.
umask 022
chmod 755 "$S"
mkdir -p "$S/own/src/daemon" "$S/own/src/cli" "$S/home"
cp -L "$PFSD" "$S/own/src/daemon/pfsd"
cp -L "$PFS" "$S/own/src/cli/pfs"
cp -a "$PFS_BUILD"/src/libpfs.so* "$S/own/src/"
rm -rf "$S"/own/src/*.p
PFSD=$S/own/src/daemon/pfsd
PFS=$S/own/src/cli/pfs
DATA=$S/home/data
MNT=$S/home/pfs
SOCK=$S/home/sock
chown "$USER_ID:$USER_ID" "$S/home"
he "$PFSD" --version >/dev/null 2>&1 || skip "needs a TMPDIR that is open to everybody"

# His pfsd, with these options; SOCK and the log are his.
start_his() {
	ready=0
	[ -e "$S/home/log" ] && ready=$(count_log pfsd.ready)
	setpriv --reuid="$USER_ID" --regid="$USER_ID" --clear-groups \
		"$PFSD" --data "$DATA" --mount "$MNT" --listen none --socket "$SOCK" --without io_uring "$@" >>"$S/home/log" 2>&1 &
	PFSD_PID=$!
	wait_for 20 logged pfsd.ready $((ready + 1))
}
reload() {
	ready=$(count_log pfsd.ready)
	kill -HUP "$PFSD_PID"
	wait_for 20 logged pfsd.ready $((ready + 1))
}
error_of() { # what who looks at it is told, and that he is told in time
	timeout 10 python3 -c 'import errno, os, sys
try: os.stat(sys.argv[1])
except OSError as e: print(errno.errorcode[e.errno])' "$1"
}
ours() { logged "$1" "$2" || { cat "$S/home/log"; return 1; }; }

# ---- what it needs ----
: >"$S/fuse.conf"
mount --bind "$S/fuse.conf" /etc/fuse.conf 2>/dev/null || skip "needs /etc/fuse.conf"
mkdir "$S/theirs"
refuse "he does not mount on a folder of somebody else" he "$PFSD" --data "$DATA" --mount "$S/theirs" --listen none --socket "$SOCK" --background --log "$S/home/log"
says "and is told what he needs" "a folder of his own"
claim "nothing is mounted there" unmounted "$S/theirs"
: >"$S/home/log" && chown "$USER_ID" "$S/home/log"
claim "without user_allow_other he mounts" start_his
claim "in his folder" mounted "$MNT"
claim "for himself" his_shell "mkdir '$MNT/r' '$MNT/r/alone' && echo text >'$MNT/r/alone/f' && grep -q text '$MNT/r/alone/f'"
refuse "and for nobody else" other ls "$MNT"
refuse "not even for root" ls "$MNT"
claim "which he is told" ours mount.warning.*user_allow_other 1
claim "he ends it" kill -TERM "$PFSD_PID"
wait "$PFSD_PID"
claim "nothing is mounted" unmounted "$MNT"
echo user_allow_other >"$S/fuse.conf"

# ---- working ----
claim "with user_allow_other he mounts" start_his --hold 30
claim "in his folder" mounted "$MNT"
refuse "passthrough, to which he has no right, is not promised" grep -q "pfsd.ready.*passthrough " "$S/home/log"
claim "what he made before is there" grep -q text "$MNT/r/alone/f"
top=$MNT/r/master
claim "and a branch" he mkdir "$top"
claim "he writes" his_shell "for i in \$(seq 300); do echo text \$i >'$top/f'\$i; done; head -c 3000000 /dev/urandom >'$top/large'"
claim "it is his" test "$(stat -c %u:%g "$top/f1")" = "$USER_ID:$USER_ID"
claim "he commits" his_shell "echo one >'$top/.pfs/commit'"
one=$(he cat "$top/.pfs/head")
claim "the commit is what he wrote" his_shell "cd '$MNT/r/$one' && for f in *; do cmp \$f '$top/'\$f || exit 1; done"
claim "he changes a large file in place" he python3 -c "
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY)
os.pwrite(fd, b'changed', 1500000)
os.fsync(fd)" "$top/large"
claim "which the commit does not see" his_shell "! cmp -s '$top/large' '$MNT/r/$one/large'"
claim "a map of it is the file" he python3 -c "
import mmap, sys
with open(sys.argv[1], 'r+b') as f:
    m = mmap.mmap(f.fileno(), 0)
    assert m[1500000:1500007] == b'changed'
    m[:5] = b'first'
    m.flush()
    assert f.read(5) == b'first'" "$top/large"
claim "he asks by his socket" his_shell "'$PFS' --socket '$SOCK' list commit r@master | grep -q one"

# ---- others ----
claim "somebody else reads what he may" other cat "$top/f1"
his_shell "umask 77 && echo secret >'$top/closed' && mkdir '$top/room' && echo secret >'$top/room/x'"
refuse "and not what he may not" other cat "$top/closed"
refuse "nor behind a closed door" other cat "$top/room/x"
refuse "nor does he write" other touch "$top/theirs"
refuse "nor commit" other sh -c "echo no >'$top/.pfs/commit'"
refuse "nor ask by a socket that is not his" other "$PFS" --socket "$SOCK" list repo
refuse "no file becomes somebody else's" he chown "$OTHER_ID" "$top/f1"
refuse "nor does it get rights that its owner has not" his_shell "mknod '$top/disk' b 7 0"

# ---- pfsd comes and goes ----
comes_and_goes() {
	claim "with the mount of before" ours mount.taken 1
	claim "he stops it" kill -TERM "$PFSD_PID"
	wait "$PFSD_PID"
	claim "the mount waits for the next one" mounted "$MNT"
	claim "which he starts" start_his --hold 30
	claim "and it goes on" ours mount.taken 2
	echo >"$S/home/go"
	claim "who had a file open did not notice" wait $READER
	same "and reads on" "text 7" "$(cat "$S/home/read")"
	claim "he stops it, to be held for a short time" kill -TERM "$PFSD_PID"
	wait "$PFSD_PID"
	start_his --hold 2
	kill -TERM "$PFSD_PID"
	wait "$PFSD_PID"
	claim "when nobody comes in time the mount goes" wait_for 10 unmounted "$MNT"
	claim "and is there again with the next one" start_his
	claim "which is started anew in place" reload
}
he mkfifo "$S/home/go"
his_shell "exec 3<'$top/f7'; echo ready >'$S/home/reads'; read -r line <'$S/home/go'; cat <&3 >'$S/home/read'" >/dev/null 2>&1 &
READER=$!
claim "somebody has a file open" wait_for 5 test -s "$S/home/reads"
hands_over=yes
reload || { hands_over=; ours "not_reloaded.*cannot send requests again" 1 || broken "his pfsd is started anew in place"; }
if [ "$hands_over" ]; then
	comes_and_goes
else
	echo "skipped: before Linux 6.9 no mount is handed over"
	echo >"$S/home/go"
	wait $READER
fi

# ---- the end ----
kill -KILL "$PFSD_PID"
wait "$PFSD_PID" 2>/dev/null
same "a mount whose pfsd was killed is dead" ENOTCONN "$(error_of "$MNT/r")"
claim "the next one takes its place" start_his
claim "what was synced is there" his_shell "grep -q changed '$top/large' && cmp '$top/f9' '$MNT/r/$one/f9'"
claim "he unmounts" he fusermount3 -u "$MNT"
wait "$PFSD_PID"
same "and his pfsd ends, content" 0 $?
PFSD_PID=
claim "nothing is mounted" unmounted "$MNT"
claim "he mounts once more" start_his
claim "all is there" he test -f "$MNT/r/$one/f300"
[ ! "$hands_over" ] || claim "also when it was started anew in place" reload
claim "and ends it by a signal" kill -TERM "$PFSD_PID"
wait "$PFSD_PID"
same "which is a good end" 0 $?
PFSD_PID=
claim "and leaves nothing mounted" unmounted "$MNT"
finish
