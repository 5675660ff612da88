#!/bin/sh
# A day of abuse in minutes: whatever can be done to files and directories, by
# several workers at random, while the branch is committed ten times a second and
# garbage is collected. Then pfsd starts anew, and every commit must hold what
# the branch held at its moment, see abuse.c.
#
#	ABUSE_SECONDS   how long it goes on
#	ABUSE_WORKERS   how many
#	SEED            what they do
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
seconds=${ABUSE_SECONDS:-8}
workers=${ABUSE_WORKERS:-4}
trap "" PIPE

start_pfsd
claim "a branch" mkdir "$MNT/r" "$MNT/r/b"
mkfifo "$S/go"
"$PFS_BUILD/tests/abuse" "$MNT/r/b" "$seconds" "$workers" "${SEED:-1}" <"$S/go" >"$S/abuse.out" 2>&1 &
abuse=$!
exec 5>"$S/go"
finished() { grep -q ^done: "$S/abuse.out" || ! kill -0 $abuse; }
collections=0
while ! finished 2>/dev/null; do
	"$PFS" --socket "$SOCK" gc --thorough >"$S/gc.out" 2>&1 || { cat "$S/gc.out" "$S/abuse.out"; broken "garbage is collected"; }
	collections=$((collections + 1))
	sleep 1
done
cat "$S/abuse.out"
claim "nothing went wrong while all of it was done" grep -q ^done: "$S/abuse.out"
claim "garbage was collected meanwhile" test $collections -gt 0
claim "pfsd ends" stop_pfsd
start_pfsd
echo >&5 2>/dev/null
wait $abuse || { tail -n 40 "$S/abuse.out"; broken "every commit is as the branch was at one moment"; }
claim "every commit is as the branch was at one moment" grep -q ^each "$S/abuse.out"
claim "pfsd ends again" stop_pfsd
claim "a full fsck finds nothing" "$PFS" fsck --data "$DATA" --level full
finish
