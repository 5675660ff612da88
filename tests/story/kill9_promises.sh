#!/bin/sh
# kill -9 of pfsd at random moments under workers who do all there is to do to
# files and directories, fsync some of them, and commit: every name, rename, link,
# attribute, truncation, append and byte that was promised by an fsync or a commit
# is there afterwards, and stays as it is through all later crashes.
#
#	ROUNDS   how many times, instead of the usual number
#	SEED     what they do, and which moments
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
rounds=${ROUNDS:-20}
seed=${SEED:-1}
abuse=$PFS_BUILD/tests/abuse
workers=3
trap '' PIPE

random() { awk -v r="$1" -v s="$seed" -v n="$2" 'BEGIN { srand(r * 7919 + s * 104729); rand(); printf "%.3f", rand() * n }'; }

start_pfsd
claim "a repo" mkdir "$MNT/r"
mkfifo "$S/go"
round=1
while [ $round -le "$rounds" ]; do
	rm -f "$S/abuse.out"
	mkdir "$MNT/r/b$round" || broken "a branch"
	"$abuse" "$MNT/r/b$round" 0 $workers $((seed * 1000 + round)) 150 <"$S/go" >"$S/abuse.out" 2>&1 &
	abuse_pid=$!
	exec 5>"$S/go"
	wait_for 20 grep -q "at work" "$S/abuse.out" || broken "workers start"
	sleep "$(random $round 0.7)"
	crash_pfsd
	umount -l "$MNT" 2>/dev/null
	# Every third time another one dies while it recovers.
	if [ $((round % 3)) = 0 ]; then
		"$PFSD" --data "$DATA" --no-mount --listen "$H" --socket "$SOCK" >>"$S/pfsd.log" 2>&1 &
		PFSD_PID=$!
		sleep "$(random $round 0.08)"
		crash_pfsd
	fi
	start_pfsd
	echo >&5 2>/dev/null
	exec 5>&-
	wait $abuse_pid || { tail -n 40 "$S/abuse.out"; broken "round $round of seed $seed: what was promised is there"; }
	cat "$S/abuse.out" >>"$S/all.out"
	for w in $(seq 0 $((workers - 1))); do
		echo "b$round/w$w $("$abuse" sum "$MNT/r/b$round/w$w")"
	done >>"$S/sums"
	round=$((round + 1))
done
claim "after $rounds kills what was promised was there" test "$(grep -c ^each "$S/all.out")" = "$rounds"
awk '/^done/ { steps += $2; commits += $4 } END { print steps " steps, " commits " commits" }' "$S/all.out"
claim "something was committed at all" test "$(awk '/^done/ { n += $4 } END { print n + 0 }' "$S/all.out")" -gt $((rounds / 3))
while read -r folder sum; do
	[ "$("$abuse" sum "$MNT/r/$folder")" = "$sum" ] || broken "$folder is as it was after the first crash"
done <"$S/sums"
claim "what was there once stayed through all crashes" test -s "$S/sums"
claim "pfsd ends" stop_pfsd
claim "a full fsck finds nothing" "$PFS" fsck --data "$DATA" --level full
finish
