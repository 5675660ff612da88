#!/bin/sh
# Nobody hangs: a commit that takes long is cancelled by a signal to whoever
# waits for it, others are served meanwhile, pfsd ends while requests run, and
# when it is killed everybody who waits for it gets an error.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_command python3
need_command curl

# A story that ends early leaves nobody behind.
COMMITTER= HTTP= STAT= SYNC=
trap 'status=$?; kill -KILL $COMMITTER $HTTP $STAT $SYNC 2>/dev/null; end_story; exit $status' EXIT

start_pfsd --maintenance off
B=$MNT/r/b
mkdir "$MNT/r" "$B"
state() { sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null; }
ended() { case $(state "$1") in '' | Z) return 0 ;; *) return 1 ;; esac; }
# Letters of which no two chunks are alike, in a file that stays open, which a
# commit has to compress rather than take in as it is: that takes seconds.
fill() { head -c 360M /dev/zero | openssl enc -aes-128-ctr -base64 -K "$(printf %032d "$1")" -iv 00 2>/dev/null >"$B/big/file"; }
head_of() { cat "$B/.pfs/head"; }
need_command openssl

echo small >"$B/f"
echo first >"$B/.pfs/commit" || broken "a commit"
first=$(head_of)
mkdir "$B/big"
fill 1
exec 8>>"$B/big/file"

# committer: writes a message and closes it; its number is in COMMITTER.
cat >"$S/commit.py" <<'END'
import os, signal, sys
hits = []
if sys.argv[2] == "catch":
    signal.signal(signal.SIGINT, lambda *a: hits.append(1))
if sys.argv[2] == "ignore":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, lambda *a: None)
fd = os.open(sys.argv[1] + "/.pfs/commit", os.O_WRONLY)
os.write(fd, b"message\n")
print("closing", flush=True)
try:
    os.close(fd)
    print("committed", flush=True)
except OSError as e:
    print(os.strerror(e.errno), len(hits), flush=True)
END
begin_commit() {
	python3 "$S/commit.py" "$B" "$1" >"$S/commit.out" 2>&1 &
	COMMITTER=$!
	wait_for 20 grep -q closing "$S/commit.out" || broken "somebody commits"
	sleep 0.2
	ended $COMMITTER && broken "the commit takes long enough to be cancelled"
}

begin_commit plain
claim "meanwhile others are served" timeout 10 cat "$B/f"
claim "and find, and write" timeout 10 sh -c "ls '$B/big' && echo more >'$B/g'"
kill -KILL $COMMITTER
claim "a process that is killed while it commits goes away" wait_for 10 ended $COMMITTER
wait $COMMITTER 2>/dev/null
same "nothing was committed" "$first" "$(head_of)"
refuse "whoever reads the id next is told" cat "$B/.pfs/commit"
says "why" "canceled"

begin_commit catch
kill -INT $COMMITTER
claim "a process that catches the signal hears of it" wait_for 10 grep -q "Operation canceled 1" "$S/commit.out"
wait $COMMITTER
same "again nothing was committed" "$first" "$(head_of)"

# A second commit waits for the first one, and need not. Of what those that were given up
# have stored already little would be left to do.
fill 3
begin_commit ignore
FIRST=$COMMITTER
begin_commit plain
kill -TERM "$COMMITTER"
claim "who waits for somebody else's commit goes away, too" wait_for 10 ended $COMMITTER
wait $COMMITTER 2>/dev/null
cp "$S/commit.out" "$S/second.out"
kill -TERM $FIRST 2>/dev/null
kill -USR1 $FIRST 2>/dev/null
wait $FIRST
refuse "signals that end nothing cancel nothing" test "$(head_of)" = "$first"
claim "all of it is in the commit" diff -r "$B/big" "$MNT/r/$(head_of)/big"
second=$(head_of)

# ---- SIGTERM to pfsd while files are open and a commit runs
fill 2
begin_commit plain
exec 9>>"$B/open"
echo written >&9
python3 -c "
import os, sys, time
here = os.open(sys.argv[1], os.O_RDONLY)
while True:
    try: os.stat('none%d' % time.time_ns(), dir_fd=here)
    except FileNotFoundError: pass
    except OSError as e: print(e.errno); break
" "$B" >"$S/stat.out" 2>&1 &
STAT=$!
curl -s --max-time 60 -XPOST "http://$H/commit?repo=r&branch=b" >"$S/http.out" 2>&1 &
HTTP=$!
claim "SIGTERM ends pfsd while all that goes on" stop_pfsd
claim "who commits by HTTP gets an answer" wait_for 10 ended $HTTP
claim "who waited for the commit goes on" wait_for 10 ended $COMMITTER
claim "so does who looked for files" wait_for 10 ended $STAT
wait $COMMITTER $STAT
same "nothing is left mounted" 0 "$(grep -c " $MNT " /proc/mounts)"
exec 9>&- 8>&-
start_pfsd --maintenance off
same "the commit was cancelled" "$second" "$(head_of)"
same "what was written is there" written "$(cat "$B/open")"

# ---- kill -9
exec 8>>"$B/big/file"
begin_commit plain
exec 9>>"$B/open"
python3 -c "
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
while True:
    try: os.fsync(fd); os.listdir(sys.argv[2])
    except OSError as e: print(e.strerror); break
" "$B/open" "$B/big" >"$S/sync.out" 2>&1 &
SYNC=$!
sleep 0.3
crash_pfsd
claim "when pfsd is killed the committer gets an error" wait_for 10 ended $COMMITTER
claim "everybody else as well" wait_for 10 ended $SYNC
refuse "that nobody is connected" cat "$B/f"
says "in so many words" "endpoint is not connected"
exec 9>&- 8>&-
wait $COMMITTER $SYNC
start_pfsd --maintenance off
same "and the next pfsd has the last commit" "$second" "$(head_of)"
claim "and commits the rest" sh -c "echo rest >'$B/.pfs/commit'"
finish
