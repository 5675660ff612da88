#!/bin/sh
# Users who do what nobody should: pfsd refuses them by name, goes on for
# everybody else, and gets back what they held when they let go.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse

# ---- more open files than there are descriptors
ulimit -n 1024
start_pfsd
mkdir "$MNT/data" "$MNT/data/master"
cat >"$S/hold.py" <<'PY'
import os, sys, time
held = []
try:
    for i in range(900):
        held.append(os.open(f"{sys.argv[1]}/held{i}", os.O_CREAT | os.O_RDWR, 0o600))
        os.write(held[-1], b"held")
except OSError as e:
    print(f"refused after {len(held)}: {e.strerror}", flush=True)
else:
    print("never refused", flush=True)
sys.stdin.read()
PY
mkfifo "$S/let-go"
python3 "$S/hold.py" "$MNT/data/master" <"$S/let-go" >"$S/held.out" 2>&1 &
holder=$!
exec 9>"$S/let-go"
claim "who holds files without end is told so" wait_for 60 grep -q refused "$S/held.out"
claim "meanwhile HTTP answers" answers
claim "a commit is made" sh -c "curl -sf --max-time 20 -XPOST '$H/commit?branch=master' >'$S/id'"
claim "and can be read" test "$(cat "$MNT/data/$(cat "$S/id")/held7")" = held
exec 9>&-
wait $holder
claim "once they are closed files can be made again" sh -c "echo x >'$MNT/data/master/after'"
claim "and nothing of it is lost" test "$(cat "$MNT/data/master/held700")" = held
claim "pfsd ends" stop_pfsd

# ---- the data folder cleared away under a running pfsd
start_pfsd
claim "a commit before" sh -c "curl -sf --max-time 20 -XPOST '$H/commit?branch=master'"
rm -rf "${DATA:?}/store"
echo unlucky >"$MNT/data/master/unlucky" 2>/dev/null
refuse "a commit that would be nowhere is not acknowledged" \
	curl -sf --max-time 20 -XPOST "$H/commit?branch=master"
claim "and pfsd goes on answering" answers
claim "and ends when it is told to" stop_pfsd

# ---- a runner whose state folder is named from where it was started
DATA=$S/data2
start_pfsd
mkdir "$MNT/data" "$MNT/data/master"
echo fact >"$MNT/data/master/f"
start_runner
claim "a runner is ready" wait_for 60 grep -q runner.ready "$S/runner.log"
kill -TERM $RUNNER_PID
wait $RUNNER_PID
(cd "$S" && exec "$RUNNER" --socket "$SOCK" --containerd "$CONTAINERD" --root relative) >>"$S/runner.log" 2>&1 &
RUNNER_PID=$!
printf 'image busybox\ninput f\nrun cp /in/f /out/f\n' >"$S/copy"
claim "a pipeline" curl -sf -XPOST --data-binary "@$S/copy" "$H/pipeline/copy"
claim "a commit for it" sh -c "curl -sf -XPOST '$H/commit?branch=master' >'$S/id'"
claim "such a runner runs its job" wait_for 60 test -f "$MNT/copy/$(cat "$S/id")/f"
kill -TERM $RUNNER_PID
wait $RUNNER_PID
RUNNER_PID=
claim "pfsd ends after that" stop_pfsd
finish
