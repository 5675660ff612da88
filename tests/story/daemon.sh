#!/bin/sh
# pfsd with a mount: what it tells a runner, and what a killed one leaves behind.
# The runner is played by curl, so that every answer can be looked at.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_command curl
need_command python3

start_pfsd
cd "$S" || exit 1
runner() { curl -s --unix-socket "$SOCK" "http://localhost/runner/$1" "$2" "$3"; }
status_of() { curl -s -o "$S/body" -w '%{http_code}' --unix-socket "$SOCK" "http://localhost/runner/$1" "$2" "$3"; }
field() { python3 -c 'import json,sys; v = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$1" "$2"; }
commit() { curl -s -XPOST "$H/commit"; }

# ---- a job, from claim to output
curl -s -XPOST $H/file/text/a --data-binary 'hello' >/dev/null
same "what came by HTTP is in the mount" hello "$(cat "$MNT/data/master/text/a")"
printf 'image busybox\ninput text\nrun cp /in/text/a /out/b\n' >copy.Pachfile
curl -s -XPOST $H/pipeline/copy -T copy.Pachfile >/dev/null
same "nothing to do is 204" 204 "$(status_of claim -d '{"runner":"r","wait_ms":100}')"
same "a claim without a name is refused" 400 "$(status_of claim -d '{}')"
C=$(commit)
curl -s "$H/pipeline/copy/file/b" >early &
EARLY=$!
runner claim -d '{"runner":"r","wait_ms":10000}' >task
same "a claim names the job" "copy $C 1" "$(field task '"%s %s %d" % (v["pipeline"], v["id"], v["attempt"])')"
same "and its lines" "busybox cp /in/text/a /out/b" "$(field task 'v["steps"][0]["image"] + " " + v["steps"][0]["line"]')"
IN=$(field task 'v["mounts"][0]["source"]')
OUT=$(field task 'v["mounts"][-1]["source"]')
same "the input goes to /in, read-only" "/in/text True" "$(field task '"%s %s" % (v["mounts"][0]["target"], v["mounts"][0]["readonly"])')"
same "the output to /out" "/out False" "$(field task '"%s %s" % (v["mounts"][-1]["target"], v["mounts"][-1]["readonly"])')"
same "the input is there" hello "$(cat "$IN/a")"
refuse "and cannot be written" sh -c "echo x >'$IN/a'"
claim "the output can" cp "$IN/a" "$OUT/b"
same "a job is given away once" 204 "$(status_of claim -d '{"runner":"r2","wait_ms":100}')"
same "a heartbeat" '{"cancel":false}' "$(runner "copy/$C/heartbeat?attempt=1" -XPOST -s)"
same "of another attempt is 409" 409 "$(status_of "copy/$C/heartbeat?attempt=2" -XPOST -s)"
same "a log is taken" 200 "$(status_of "copy/$C/log?attempt=1" --data-binary 'some words
')"
claim "a read of the output waits" kill -0 $EARLY
same "the end is taken" 200 "$(status_of "copy/$C/finish?attempt=1" -d '{"ok":true}')"
wait $EARLY
same "then the read is answered" hello "$(cat early)"
same "by commit, too" hello "$(curl -s "$H/pipeline/copy/file/*?commit=$C")"
same "and in the mount" hello "$(cat "$MNT/copy/$C/b")"
same "the log is kept" "some words" "$(curl -s "$H/job/copy/$C/log")"
claim "the job's folder is gone" test ! -e "$OUT"

# ---- a job that fails, and one that is stopped
C=$(commit)
runner claim -d '{"runner":"r","wait_ms":10000}' >/dev/null
runner "copy/$C/finish?attempt=1" -d '{"ok":false,"reason":"run line 1 exited with status 7"}' >/dev/null
same "the output of a failed job is 500" 500 "$(curl -s -o body -w '%{http_code}' "$H/pipeline/copy/file/*?commit=$C")"
claim "with the reason" grep -q "run line 1 exited with status 7" body
C=$(commit)
runner claim -d '{"runner":"r","wait_ms":10000}' >/dev/null
curl -s -XDELETE "$H/job/copy/$C" >/dev/null
claim "a runner of a stopped job is told" sh -c "curl -s --unix-socket '$SOCK' -XPOST 'http://localhost/runner/copy/$C/heartbeat?attempt=1' | grep -qE 'cancel\":true|conflict|killed'"

# ---- what a killed pfsd leaves
for i in 1 2 3 4 5 6 7 8 9 10; do
	ls -la "$MNT" >/dev/null
	stat "$MNT" >/dev/null
	crash_pfsd
	start_pfsd
done
same "ten kills leave one mount" 1 "$(grep -c " $MNT " /proc/mounts)"
same "that shows what was committed" hello "$(cat "$MNT/data/master/text/a")"
refuse "a mount that lives is not hidden" "$PFSD" --data "$S/d2" --mount "$MNT" --listen 127.0.0.1:0 --socket "$S/s2"
says "and that is said" "mounted there already"
(cd "$MNT/data/master" && sleep 5) &
sleep 0.2
claim "SIGTERM unmounts, whoever is in there" stop_pfsd
same "nothing is left mounted" 0 "$(grep -c " $MNT " /proc/mounts)"

# ---- an end at which not all can be written down
need_command prlimit
mv "$S/pfsd.log" "$S/old.log"
start_pfsd --maintenance off
top=$MNT/data/master
claim "many names are written down" python3 -c '
import os, sys
for i in range(500): os.mkdir(f"{sys.argv[1]}/a folder with a name of some length {i}")
os.fsync(os.open(sys.argv[1], os.O_RDONLY))' "$top"
# Its log is shorter than this, and that of the journal is longer.
claim "files may not be long any more" prlimit --pid "$PFSD_PID" --fsize=20000:
claim "some more are made" mkdir "$top/x" "$top/y"
refuse "which cannot be made durable" python3 -c 'import os, sys; os.fsync(os.open(sys.argv[1], os.O_RDONLY))' "$top"
claim "it ends all the same" stop_pfsd
claim "and says that something was not written" grep -q "pfsd.not_written why=.*workspace" "$S/pfsd.log"
start_pfsd
same "the rest is there" 500 "$(find "$top" -maxdepth 1 -name 'a folder*' | wc -l)"
claim "and what was not, is not" test ! -e "$top/x"
claim "it goes on" mkdir "$top/x"
finish
