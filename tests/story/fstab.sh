#!/bin/sh
# The mount as the machine's own business: a line of fstab, umount, fusermount3,
# what a service manager is told, and whatever may be on the mount point already.
if [ "${FSTAB_APART:-}" = "" ]; then
	# In a table of mounts of our own: /sbin gets a helper that only we see.
	unshare --mount --propagation private true 2>/dev/null ||
		{ echo "skipped: needs root, and unshare(1)"; exit 77; }
	FSTAB_APART=1 exec unshare --mount --propagation private "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_command python3
need_command fusermount3
need_command curl

# pfsd_of DATA: the process that keeps it.
pfsd_of() { pgrep -f -- "--data $1 " | head -n 1; }
gone() { [ -z "$(pfsd_of "$1")" ]; }
mounts() { awk -v m="$MNT" '$2 == m' /proc/self/mounts | wc -l; }
words() { awk -v m="$MNT" '$2 == m { print $4 }' /proc/self/mounts; }
end_all() {
	for m in "$MNT" "$S/other"; do umount -l "$m" 2>/dev/null; done
	for pid in $(pgrep -f -- "--data $S/"); do kill -TERM "$pid"; done
	wait_for 20 gone "$S/"
	end_story
}
trap 'status=$?; end_all; exit $status' EXIT

sbin=$(readlink -f /sbin)
mkdir "$S/sbin" "$MNT" "$S/other"
install -m 755 "$PFS_BUILD/packaging/mount.fuse.pfs" "$S/sbin/" || broken "the build has the helper"
mount -t overlay overlay -o "lowerdir=$S/sbin:$sbin" "$sbin" 2>/dev/null || skip "needs overlayfs"
PFSD=$(readlink -f "$PFSD")
export PFSD
PORT=$(free_port)
options="listen=127.0.0.1:$PORT,socket=$SOCK,log=$S/pfsd.log,maintenance=off"
printf '%s %s fuse.pfs %s 0 0\n' "$DATA" "$MNT" "noauto,nofail,$options" >"$S/fstab"
printf '%s %s fuse.pfs %s 0 0\n' "$DATA" "$MNT" "$options" >"$S/fstab.auto"

# ---- where it is installed
# plan SOURCE FILE: where an install puts a file of the build.
plan() {
	meson introspect --install-plan "$1" | python3 -c '
import json, sys
for files in json.load(sys.stdin).values():
    for source, plan in files.items():
        if source.endswith(sys.argv[1]): print(plan["destination"])' "$2"
}
if command -v meson >/dev/null 2>&1; then
	claim "a build for a folder of one's own" meson setup "$S/own" "$PROJECT" --prefix "$S/p" --wrap-mode nodownload
	same "leaves /sbin alone" "{sbindir}/mount.fuse.pfs" "$(plan "$S/own" /mount.fuse.pfs)"
	claim "an install" meson install -C "$PFS_BUILD" --no-rebuild --skip-subprojects --destdir "$S/root"
	installed=$(find "$S/root" -path '*/sbin/pfsd')
	prefix=${installed%/sbin/pfsd}
	prefix=${prefix#"$S/root"}
	if [ "$prefix" = /usr/local ]; then
		same "for the machine has the helper where mount(8) looks" "/sbin/mount.fuse.pfs" "$(plan "$PFS_BUILD" /mount.fuse.pfs)"
		mount --bind "$S/root$prefix" "$prefix" || broken "it is put where it belongs"
		claim "pfsd finds its library there, which ld.so was not told of" "$prefix/sbin/pfsd" --version
		claim "so does pfs" "$prefix/bin/pfs" --version
		umount "$prefix"
	fi
fi

# ---- a line of fstab
refuse "a data folder that is not there" mount -T "$S/fstab" "$MNT"
says "is not made: its disk may be missing" "is its disk mounted?"
same "nothing is mounted" 0 "$(mounts)"
refuse "nothing is made" test -e "$DATA"
mkdir "$DATA"
claim "one that is empty gets a new instance" mount -T "$S/fstab" "$MNT"
says "which is said" "$DATA is empty"
claim "and logged" grep -q "instance.created data=$DATA" "$S/pfsd.log"
umount "$MNT"
claim "umount ends it" wait_for 20 gone "$DATA"
claim "mount FOLDER mounts what fstab says" mount -T "$S/fstab" "$MNT"
same "it is there when mount returns" 1 "$(mounts)"
claim "and so is HTTP" answers
same "nothing is new the second time" 1 "$(grep -c instance.created "$S/pfsd.log")"
same "the table of mounts tells type and data folder" "$DATA fuse.pfs" \
	"$(awk -v m="$MNT" '$2 == m { print $1, $3 }' /proc/self/mounts)"
mkdir "$MNT/r" "$MNT/r/b"
echo kept >"$MNT/r/b/f"
claim "mount -a finds it mounted" mount -a -T "$S/fstab.auto"
same "and does not mount it twice" 1 "$(mounts)"
claim "umount unmounts" umount "$MNT"
claim "and ends pfsd" wait_for 20 gone "$DATA"
refuse "its socket went with it" test -e "$SOCK"
claim "it says why in its log" grep -q 'pfsd.stopping why="somebody unmounted' "$S/pfsd.log"
claim "and that it ended" grep -q pfsd.stopped "$S/pfsd.log"

claim "mount -a mounts it" mount -a -T "$S/fstab.auto"
same "what was written is there" kept "$(cat "$MNT/r/b/f")"
umount "$MNT" && mount -T "$S/fstab" "$MNT" || broken "unmounted and at once mounted again"
same "still" kept "$(cat "$MNT/r/b/f")"
claim "fusermount3 -u unmounts" fusermount3 -u "$MNT"
claim "and ends pfsd as well" wait_for 20 gone "$DATA"

claim "flags of mount(8) and features" mount -t fuse.pfs -o "ro,noexec,hold=1,without=notify:io_uring,$options" "$DATA" "$MNT"
claim "read-only" sh -c "awk -v m='$MNT' '\$2 == m { print \$4 }' /proc/self/mounts | grep -q '^ro,.*noexec'"
refuse "and that is meant" touch "$MNT/r/b/g"
says "as on every file system" "Read-only file system"
curl -s "http://127.0.0.1:$PORT/stats" >"$S/claim.out"
says "the features are in the statistics" '"features":"'
refuse "those that are off are not among them" grep -q notify "$S/claim.out"
claim "what is busy is not unmounted" sh -c "cd '$MNT/r/b' && ! umount '$MNT' 2>/dev/null && cat f"
umount "$MNT"
wait_for 20 gone "$DATA"

refuse "an unknown option" mount -t fuse.pfs -o frobnicate "$DATA" "$MNT"
says "is named" frobnicate
refuse "a remount" mount -t fuse.pfs -o "remount,rw,$options" "$DATA" "$MNT"
says "is told what to do" "unmount it"
refuse "an unknown feature" mount -t fuse.pfs -o "without=teleport,$options" "$DATA" "$MNT"
says "is answered with those there are" "passthrough io_uring"
claim "mount -s lets pass what it does not know" mount -s -t fuse.pfs -o "frobnicate,$options" "$DATA" "$MNT"

# ---- what is there already
mkdir "$S/data2"
refuse "a mount on top of a mount" mount -t fuse.pfs -o "listen=127.0.0.1:0,socket=$S/2,log=$S/log2" "$S/data2" "$MNT"
says "is refused" "mounted there already"
same "the first one lives" kept "$(cat "$MNT/r/b/f")"

pid=$(pfsd_of "$DATA")
exec 9<"$MNT/r/b/f"
kill -KILL "$pid"
wait_for 20 gone "$DATA"
# It has no name any more while it still lets go of what it has open: who comes then waits for that.
ls "$MNT" >"$S/claim.out" 2>&1
refuse "a mount whose pfsd was killed answers" ls "$MNT"
says "that nobody is there" "not connected"
claim "mounting again takes it away, though a file of it is open" mount -T "$S/fstab" "$MNT"
same "one mount is left" 1 "$(mounts)"
same "with what was written" kept "$(cat "$MNT/r/b/f")"
exec 9<&-
umount "$MNT"
wait_for 20 gone "$DATA"

cat >"$S/dead.py" <<'END'
import ctypes, os, sys
fd = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fd},rootmode=40000,user_id=0,group_id=0"
libc = ctypes.CDLL(None, use_errno=True)
sys.exit(libc.mount(b"someone", sys.argv[1].encode(), b"fuse.someone", 0, options.encode()) != 0)
END
claim "a dead mount of somebody else" python3 "$S/dead.py" "$MNT"
refuse "is not taken away" mount -T "$S/fstab" "$MNT"
says "and the reason tells whose it is" "fuse.someone"
same "it is still there" 1 "$(mounts)"
umount -l "$MNT"

# ---- what comes in its place
# Of the same type, so that only its number tells it from ours, or that it is not dead.
mount_other() {
	mount -t fuse.pfs -o "listen=127.0.0.1:0,socket=$S/2,log=$S/log2,maintenance=off" "$S/data2" "$MNT" 9<&- || return 1
	[ -d "$MNT/other" ] || mkdir "$MNT/other" "$MNT/other/b" || return 1
	echo other >"$MNT/other/b/f"
}
leave_other() {
	same "one mount is there" 1 "$(mounts)"
	same "which is the other's" "$S/data2" "$(awk -v m="$MNT" '$2 == m { print $1 }' /proc/self/mounts)"
	same "and answers" other "$(cat "$MNT/other/b/f")"
	umount "$MNT"
	claim "until it is unmounted itself" wait_for 20 gone "$S/data2"
}

claim "mounted once more" mount -T "$S/fstab" "$MNT"
exec 9<"$MNT/r/b/f"
umount -l "$MNT"
claim "another pfs comes to where one was taken away that is in use" mount_other
kill -TERM "$(pfsd_of "$DATA")"
claim "pfsd that is told to end ends" wait_for 20 gone "$DATA"
leave_other
exec 9<&-

claim "mounted, taken away in use" mount -T "$S/fstab" "$MNT"
exec 9<"$MNT/r/b/f"
umount -l "$MNT"
claim "and another comes" mount_other
exec 9<&-
claim "pfsd ends when the last user is gone" wait_for 20 gone "$DATA"
leave_other

# The kernel gives the lowest number that is free, which here is that of the one before.
claim "mounted, taken away in use, and nobody hears when that ends" mount -T "$S/fstab" "$MNT"
exec 9<"$MNT/r/b"
umount -l "$MNT"
pid=$(pfsd_of "$DATA")
kill -STOP "$pid"
exec 9<&-
claim "another comes, which may have its number" mount_other
kill -CONT "$pid"
claim "pfsd hears of it and ends" wait_for 20 gone "$DATA"
leave_other

claim "mounted, and something else on top" mount -T "$S/fstab" "$MNT"
mount -t tmpfs else "$MNT" && echo mine >"$MNT/mine"
kill -TERM "$(pfsd_of "$DATA")"
claim "pfsd ends below another mount" wait_for 20 gone "$DATA"
claim "which stays" test -f "$MNT/mine"
umount "$MNT"
claim "mounting again finds what it left" mount -T "$S/fstab" "$MNT"
same "one mount is left again" 1 "$(mounts)"
umount "$MNT"
wait_for 20 gone "$DATA"

echo hidden >"$MNT/below"
claim "a folder that is not empty can be mounted on" mount -T "$S/fstab" "$MNT"
says "and it is said what is hidden" '"below"'
refuse "which is then not seen" test -e "$MNT/below"
umount "$MNT"
same "and comes back" hidden "$(cat "$MNT/below")"
rm "$MNT/below"
wait_for 20 gone "$DATA"
echo file >"$S/file"
refuse "a file is no mount point" mount -t fuse.pfs -o "$options" "$DATA" "$S/file"
refuse "nor is what lies above the data folder" mount -t fuse.pfs -o "$options" "$DATA" "$S"
says "which would wait for itself" "below the mount"

# ---- a service manager
cat >"$S/manager.py" <<'END'
import os, signal, socket, subprocess, sys
path = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(path)
s.settimeout(30)
pfsd = subprocess.Popen(sys.argv[2:], env=dict(os.environ, NOTIFY_SOCKET=path), stderr=subprocess.DEVNULL)
try:
    said = s.recv(4096).decode()
    assert "READY=1" in said, said
    pfsd.send_signal(signal.SIGTERM)
    said = s.recv(4096).decode()
    assert "STOPPING=1" in said, said
    assert pfsd.wait(30) == 0, pfsd.returncode
finally:
    pfsd.kill()
    pfsd.wait()
END
claim "a service manager hears of readiness and of the end" python3 "$S/manager.py" "$S/notify" \
	"$PFSD" --data "$DATA" --mount "$MNT" --listen 127.0.0.1:0 --socket "$SOCK"
if command -v systemd-analyze >/dev/null 2>&1; then
	mkdir "$S/units"
	sed "s|^ExecStart=.*|ExecStart=$PFSD|" "$PFS_BUILD/packaging/pfsd.service" >"$S/units/pfsd.service"
	cp "$PROJECT/packaging/pfs.mount" "$S/units/"
	# The manual is not installed here; that is not what is asked.
	claim "systemd understands the units" sh -c "! SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no '$S'/units/* 2>&1 | grep -E 'units/(pfsd|pfs)'"
fi
finish
