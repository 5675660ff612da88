#!/bin/sh
# Restart without unmounting: pfsd is started anew in place and stopped and started,
# and whoever has something open in the mount goes on. It cannot be handed over, nobody
# comes, something broken comes, something damaged is handed over.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_command python3
W=$STORY_SOURCE/restart.py
HOLD="--without io_uring --hold 20"

# A pfsd of our own, which may be replaced by another program.
ln -s "$PFSD" "$S/pfsd"
OWN=$S/pfsd
PFSD=$OWN

PORT=$(free_port)
mkdir "$MNT"

# It is not to have what this shell has open in the mount; and nobody is to look at the
# mount before it is there, as start_pfsd does: he would wait for it.
start() {
	case " $* " in
	*" --no-mount "*) at= ;;
	*) at="--mount $MNT" ;;
	esac
	# shellcheck disable=SC2086
	"$PFSD" --data "$DATA" $at --listen "127.0.0.1:$PORT" --socket "$SOCK" "$@" \
		>>"$S/pfsd.log" 2>&1 7<&- 8>&- 9<&- &
	PFSD_PID=$!
	wait_for 20 answers || broken "pfsd answers after it was started"
}

# By the table: a dead mount, or one that waits, is one.
unmounted() { ! grep -q " $1 " /proc/self/mountinfo; }

count_log() { grep -c "$1" "$S/pfsd.log"; }
logged() { [ "$(count_log "$1")" -ge "$2" ]; }

reload() {
	reloads=$(count_log pfsd.ready)
	kill -HUP "$PFSD_PID"
	wait_for 20 logged pfsd.ready $((reloads + 1))
}

# Nothing that is larger than this may be written, which what is handed over is.
reload_without_room() {
	refusals=$(count_log pfsd.not_reloaded)
	reloads=$(count_log pfsd.ready)
	starts=$(count_log pfsd.reloading)
	ls -l "$B/names" >/dev/null
	prlimit --pid "$PFSD_PID" --fsize=600000: || return 1
	kill -HUP "$PFSD_PID"
	wait_for 20 logged pfsd.not_reloaded $((refusals + 1))
	wait_for 20 logged pfsd.ready $((reloads + 1))
	prlimit --pid "$PFSD_PID" --fsize=unlimited:
	# At the last moment, when all that could be asked before was well.
	logged pfsd.not_reloaded $((refusals + 1)) && logged pfsd.ready $((reloads + 1)) &&
		logged pfsd.reloading $((starts + 1))
}

# stop_and_start [OPTION...]
stop_and_start() {
	stop_pfsd || return 1
	sleep 0.2
	# shellcheck disable=SC2086
	start $HOLD "$@"
}

# Who holds is asked by a pipe.
look() {
	echo "$1" >&8
	read -r answer <&9
	[ "$answer" = ok ] || { echo "$answer"; return 1; }
}

# shellcheck disable=SC2086
start $HOLD
B=$MNT/r/master
python3 "$W" prepare "$B"
echo first >"$B/.pfs/commit"
ID=$(cat "$B/.pfs/head")

# Before Linux 6.9 nothing of this can be.
reload || ! logged "pfsd.not_reloaded.*cannot send requests again" 1 || skip "this kernel cannot send requests again"

mkfifo "$S/to" "$S/from"
python3 "$W" hold "$B" "$MNT/r/$ID" <"$S/to" >"$S/from" &
HOLDER=$!
exec 8>"$S/to" 9<"$S/from"
read -r answer <&9
same "everything is open" ready "$answer"
claim "all of it works" look look

# ---- in place ----
PID=$PFSD_PID
claim "pfsd is started anew in place" reload
claim "what was open works" look look
same "it is the same process" "$PID" "$PFSD_PID"
claim "which still runs" kill -0 "$PID"
claim "a commit" sh -c "echo second >'$B/.pfs/commit' && grep -q second '$B/.pfs/log'"
claim "what was open works after a commit" look look
claim "again in place" reload
claim "what was open works" look look
claim "and twice at once" sh -c "kill -HUP $PID; kill -HUP $PID"
wait_for 5 answers
claim "what was open works" look look

# ---- it cannot be handed over ----
# Names of 200 bytes: what is handed over has 800,000 of them, and more than the journal's log.
mkdir "$B/names"
(cd "$B/names" && for i in $(seq -f "%0200.0f" 4000); do echo "$i"; done | xargs touch)
claim "in place, which empties the log" reload
claim "a mount that cannot be handed over" reload_without_room
refuse "is not lost" logged mount.lost 1
idle_for() { # at most so many hundredths of a second of processor time in a second
	busy=$(awk '{ print $14 + $15 }' "/proc/$PFSD_PID/stat")
	sleep 1
	[ $(($(awk '{ print $14 + $15 }' "/proc/$PFSD_PID/stat") - busy)) -le "$1" ]
}
claim "nor does pfsd run in circles" wait_for 5 idle_for 20
claim "what is open goes on" look look
claim "and by HTTP it answers" answers
claim "a commit" sh -c "echo third >'$B/.pfs/commit' && grep -q third '$B/.pfs/log'"
claim "what is changed elsewhere is seen" sh -c "echo elsewhere | '$PFS' --socket '$SOCK' put file r@master:/elsewhere && grep -q elsewhere '$B/elsewhere'"
claim "in place, which empties the log" reload
claim "nor is it lost the second time" reload_without_room
claim "what is open goes on" look look
claim "with room it is handed over" reload
claim "and what is open goes on" look look
rm -r "$B/names"

# ---- stopped and started ----
claim "pfsd is stopped" stop_pfsd
claim "somebody holds the mount" logged mount.held 1
claim "for nobody but its owner" sh -c "[ \"\$(stat -c %a '$DATA/hold.sock')\" = 600 ]"
timeout 10 cat "$B/kept" >"$S/waited" &
WAITS=$!
sleep 0.3
claim "who comes meanwhile waits" kill -0 $WAITS
# shellcheck disable=SC2086
start $HOLD
claim "and gets what he came for" sh -c "wait $WAITS 2>/dev/null; for i in 1 2 3 4 5 6 7 8 9; do [ -s '$S/waited' ] && break; sleep 0.2; done; cmp '$S/waited' '$B/kept'"
claim "what was open works" look look
refuse "nobody holds it any more" test -e "$DATA/hold.sock"
claim "a second time" stop_and_start
claim "what was open works" look look
claim "pfsd is stopped" stop_pfsd
# shellcheck disable=SC2086
refuse "one that cannot have its port" "$PFSD" --data "$DATA" --mount "$MNT" --listen 192.0.2.1:1 --socket "$SOCK" $HOLD
# shellcheck disable=SC2086
start $HOLD
claim "leaves the mount to the next one: what was open works" look look
claim "pfsd is stopped" stop_pfsd
echo >"$S/file"
# shellcheck disable=SC2086
refuse "nor does one that cannot have its socket" "$PFSD" --data "$DATA" --mount "$MNT" --listen "127.0.0.1:$PORT" --socket "$S/file/sock" $HOLD
# shellcheck disable=SC2086
start $HOLD
claim "take it away: what was open works" look look
claim "in place after that" reload
claim "what was open works" look look
claim "what is written past it is told" look past
claim "half a message is written" look say
claim "in place" reload
claim "and stopped and started" stop_and_start
claim "and at the end everything goes on as it began" look end
exec 8>&- 9<&-
wait $HOLDER

# ---- what is gone ----
cat >"$S/gone.py" <<'PY'
import errno, os, sys
def error_of(call, *args):
    try:
        call(*args)
    except OSError as e:
        return errno.errorcode[e.errno]
    return "none"
os.chdir(sys.argv[1])
at = os.open(".", os.O_DIRECTORY)
print("ready", flush=True)
sys.stdin.readline()
for call, *args in ((os.listdir, "."), (os.stat, "."), (os.listdir, at), (os.mkdir, "d"), (os.fsync, at),
                    (os.open, "f", os.O_RDONLY), (os.open, "g", os.O_CREAT | os.O_RDWR), (os.unlink, "f"),
                    (os.rename, "f", "g"), (os.symlink, "f", "g"), (os.link, "f", "g"), (os.mkfifo, "p"),
                    (os.chmod, ".", 0o700), (os.listxattr, "."), (os.getxattr, ".", "user.x"),
                    (os.setxattr, ".", "user.x", b""), (os.removexattr, ".", "user.x")):
    assert error_of(call, *args) == "ESTALE", (call.__name__, args, error_of(call, *args))
PY
mkdir -p "$MNT/r/short/d" && echo text >"$MNT/r/short/d/f"
mkfifo "$S/go"
python3 "$S/gone.py" "$MNT/r/short/d" <"$S/go" >"$S/gone.out" 2>&1 &
STANDS=$!
exec 6>"$S/go"
claim "somebody stands in a branch" wait_for 10 grep -q ready "$S/gone.out"
claim "which is deleted" "$PFS" --socket "$SOCK" delete branch r@short --force
claim "in place" reload
echo >&6
exec 6>&-
claim "who stands there is told that it is stale, whatever he asks" wait $STANDS
claim "and everybody else goes on" grep -q kept "$B/kept"

# ---- under load ----
python3 "$W" write "$B/load" >"$S/load.out" &
LOAD=$!
wait_for 10 grep -q ready "$S/load.out"
i=0
while [ $i -lt 20 ]; do
	reload || broken "reload $i under load"
	i=$((i + 1))
done
claim "stopped and started under load" stop_and_start
claim "and once more" stop_and_start
kill -TERM $LOAD
claim "who wrote all the time lost nothing" wait $LOAD
tail -n 1 "$S/load.out"
refuse "nothing was lost on the way" grep -qE "mount.lost|an open file is lost" "$S/pfsd.log"
# Bytes of files without names went with their last user.
names=$(find "$B" -type f | wc -l)
sleep 2
claim "what nobody has is not kept" sh -c "[ \"\$(find '$DATA'/workspaces/*/spool -type f | wc -l)\" -le $names ]"

# ---- something broken comes ----
ready=$(count_log pfsd.ready)
refusals=$(count_log pfsd.not_reloaded)
exec 7<"$B/kept"
printf '#!/bin/sh\nexit 3\n' >"$S/broken" && chmod +x "$S/broken" && mv "$S/broken" "$OWN"
kill -HUP "$PFSD_PID"
claim "a program that does not start is not let in" wait_for 15 logged pfsd.not_reloaded $((refusals + 1))
claim "the old one goes on" answers
claim "and so does what is open" sh -c 'cat <&7 | cmp - "$1"' - "$B/kept"
printf '#!/bin/sh\ncase "$*" in *check-handover*) rm -f "$0"; exit 0 ;; esac\nexit 3\n' >"$S/broken"
chmod +x "$S/broken" && mv "$S/broken" "$OWN"
kill -HUP "$PFSD_PID"
claim "nor one that goes at the last moment" wait_for 15 logged pfsd.not_reloaded $((refusals + 2))
claim "the old one goes on with what is open" wait_for 15 logged pfsd.ready $((ready + 1))
claim "which works" cmp "$B/kept" "/proc/$$/fd/7"
ln -sfn "$PFS_BUILD/src/daemon/pfsd" "$OWN"
claim "a good one comes" reload

# ---- nobody comes ----
stop_pfsd
start --without io_uring --hold 4
stop_pfsd
# The second is of those whose request was waiting already.
claim "who waits gets an error when nobody comes" sh -c "timeout 10 python3 '$W' wait '$B/sub' | grep -E '^(ENOTCONN|ECONNABORTED)\$'"
claim "the mount is gone" wait_for 5 unmounted "$MNT"
exec 7<&-
refuse "and nobody holds anything" test -e "$DATA/hold.sock"
# shellcheck disable=SC2086
start $HOLD
claim "a new mount has everything" test -f "$B/kept"

# ---- somebody unmounts meanwhile ----
stop_pfsd
# umount(8) asks the mount something first, and waits like everybody.
claim "a held mount can be unmounted" timeout 10 python3 -c '
import ctypes, sys
sys.exit(ctypes.CDLL(None).umount2(sys.argv[1].encode(), 2))' "$MNT"
claim "nobody holds it then" wait_for 5 sh -c "! test -e '$DATA/hold.sock'"
# shellcheck disable=SC2086
start $HOLD
claim "and mounted again" test -f "$B/kept"

# ---- somebody else comes meanwhile ----
stop_pfsd
refuse "a pfsd of another data folder does not wait where another is waited for" \
	timeout 20 "$PFSD" --data "$S/other" --mount "$MNT" --listen none --socket "$S/other.sock"
says "and says so" "does not answer"
# shellcheck disable=SC2086
start $HOLD
claim "the right one goes on" test -f "$B/kept"

# ---- somebody else mounts there meanwhile ----
# Another pfs, so that only the number of the device tells one from the other.
lazily() { python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).umount2(sys.argv[1].encode(), 2))' "$MNT"; }
exec 7<"$B/kept"
stop_pfsd
start --without io_uring --hold 120
stop_pfsd
claim "a held mount is unmounted with a file of it open" lazily
"$PFSD" --data "$S/other" --mount "$MNT" --listen none --socket "$S/other.sock" >"$S/other.log" 2>&1 7<&- 8>&- 9<&- &
OTHER=$!
claim "another pfsd mounts there" wait_for 20 grep -q pfsd.ready "$S/other.log"
mkdir "$MNT/theirs"
# shellcheck disable=SC2086
refuse "what is there is not taken for what was held" \
	timeout 20 "$PFSD" --data "$DATA" --mount "$MNT" --listen none --socket "$SOCK" $HOLD 7<&- 8>&- 9<&-
says "which is said" "is not mounted any more"
claim "the other one has its mount still" test -d "$MNT/theirs"
kill "$OTHER" && wait "$OTHER"
exec 7<&-
claim "until it ends" unmounted "$MNT"
# shellcheck disable=SC2086
start $HOLD
claim "then it is mounted again" test -f "$B/kept"

# ---- another place, no place ----
stop_pfsd
OLD=$MNT
MNT=$S/elsewhere
# shellcheck disable=SC2086
start $HOLD
claim "elsewhere it is mounted anew" test -f "$MNT/r/master/kept"
claim "and the old one is taken away" unmounted "$OLD"
claim "which is said" logged "mount.lost.*it was mounted at" 1
stop_pfsd
start --no-mount
claim "without a mount the held one ends" unmounted "$MNT"
stop_pfsd
umount -l "$MNT" 2>/dev/null
MNT=$OLD

# ---- what is handed over is damaged ----
# shellcheck disable=SC2086
start $HOLD
stop_pfsd
python3 - "$DATA/hold.sock" "$PFSD" "$S" <<'PY' &
"""Takes what is held, damages it, and holds it for the next."""
import array, os, socket, sys, time
path = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(path)
_, fds, _, _ = socket.recv_fds(s, 1, 2)
os.pwrite(fds[1], b"\xff\xff\xff\xff", 40)
while os.path.exists(path):
    time.sleep(0.01)
l = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
l.bind(path)
l.listen()
open(sys.argv[3] + "/damaged", "w").close()
c, _ = l.accept()
socket.send_fds(c, [b"h"], fds)
os.unlink(path)
PY
claim "what is held is damaged" wait_for 10 test -e "$S/damaged"
# shellcheck disable=SC2086
start $HOLD
claim "it is refused" logged "mount.lost.*damaged" 1
claim "and a new mount takes the place of the dead one" test -f "$B/kept"
stop_pfsd

# ---- a service manager keeps it ----
# As systemd does: it takes two descriptors, and gives them to the next it starts.
cat >"$S/manager.py" <<'PY'
import os, signal, socket, subprocess, sys
where, args = sys.argv[1], sys.argv[2:]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(where)
s.settimeout(20)
env = dict(os.environ, NOTIFY_SOCKET=where, FDSTORE="2")

def hear(word, fds=None):
    while True:
        text, got, _, _ = socket.recv_fds(s, 4096, 4)
        if fds is not None:
            fds += got
        if word in text.decode():
            return text.decode()

first = subprocess.Popen(args, env=env)
hear("READY=1")
held = os.open(sys.stdin.readline().strip(), os.O_RDONLY)
first.send_signal(signal.SIGTERM)
kept = []
assert "FDNAME=pfs-mount" in hear("FDSTORE=1", kept) and len(kept) == 2, kept
assert first.wait() == 0

# Ours is what becomes pfsd, so that the number in LISTEN_PID is right.
pid = os.fork()
if pid == 0:
    os.close(held)
    high = [os.dup2(fd, 20 + i) for i, fd in enumerate(kept)]
    for i, fd in enumerate(high):
        os.dup2(fd, 3 + i)
    os.closerange(5, 64)
    env.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="pfs-mount:pfs-mount")
    os.execve(args[0], args, env)
for fd in kept:
    os.close(fd)
hear("FDSTOREREMOVE=1")
hear("READY=1")
assert os.pread(held, 5, 0) == b"kept\n"
os.close(held)
os.kill(pid, signal.SIGTERM)
kept = []
hear("FDSTORE=1", kept)
assert os.waitpid(pid, 0)[1] == 0
PY
taken=$(count_log mount.taken)
claim "a service manager keeps the mount, and the next goes on with it" sh -c "
	echo '$B/kept' | python3 '$S/manager.py' '$S/notify' '$PFSD' --data '$DATA' --mount '$MNT' --listen '127.0.0.1:$PORT' --socket '$SOCK' $HOLD 2>>'$S/pfsd.log'"
claim "which is said" logged mount.taken $((taken + 1))
claim "when the manager drops it, it is dead" sh -c "! timeout 10 stat -f '$MNT' 2>/dev/null"

# ---- what cannot be held ----
ready=$(count_log pfsd.ready)
start
wait_for 5 logged pfsd.ready $((ready + 1))
if grep pfsd.ready "$S/pfsd.log" | tail -n 1 | grep -q io_uring; then
	kill -HUP "$PFSD_PID"
	claim "with io_uring a reload is refused" wait_for 10 logged "not_reloaded.*io_uring" 1
	claim "and everything goes on" test -f "$B/kept"
fi
claim "without --hold the end unmounts" stop_pfsd
claim "as ever" unmounted "$MNT"
finish
