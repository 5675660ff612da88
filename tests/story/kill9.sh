#!/bin/sh
# kill -9 of pfsd at random moments, under writers of small and large files,
# patches of large committed ones, commits on several branches, repos that come
# and go, and collections; sometimes again while it starts. Afterwards every
# commit that was acknowledged is there byte for byte, every other one is one
# that was asked for, what was synced is there, and a full fsck finds nothing.
#
#	ROUNDS   how many times, instead of the usual number
#	SEED     which moments, instead of the usual ones
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
rounds=${ROUNDS:-15}
seed=${SEED:-1}
story=$(dirname "$0")/kill9.py

fsck_full() { "$PFS" fsck --data "$DATA" --level full; }

start_pfsd
claim "a repo" mkdir "$MNT/kept"
: >"$S/notes"
round=1
while [ $round -le "$rounds" ]; do
	python3 "$story" write "$MNT" "$S/notes" "$SOCK" "$PFS" $((seed * 100000 + round)) >>"$S/writer.log" 2>&1 &
	writer=$!
	sleep "$(awk -v r=$round -v s="$seed" 'BEGIN { srand(r * 7919 + s * 104729); printf "%.3f", 0.2 + rand() * 1.2 }')"
	crash_pfsd
	wait $writer
	[ $? = 0 ] || { tail -n 20 "$S/writer.log"; broken "round $round: writers end with pfsd, not for another reason"; }
	umount -l "$MNT" 2>/dev/null
	# Every third time another one dies while it recovers.
	if [ $((round % 3)) = 0 ]; then
		"$PFSD" --data "$DATA" --no-mount --listen "$H" --socket "$SOCK" >>"$S/pfsd.log" 2>&1 &
		PFSD_PID=$!
		sleep "$(awk -v r=$round -v s="$seed" 'BEGIN { srand(r * 31 + s * 7); printf "%.3f", rand() * 0.08 }')"
		crash_pfsd
	fi
	if [ $((round % 5)) = 0 ]; then
		fsck_full >"$S/fsck.out" 2>&1 || { cat "$S/fsck.out"; broken "round $round: a full fsck finds nothing"; }
	fi
	start_pfsd
	python3 "$story" judge "$MNT" "$S/notes" "$SOCK" "$PFS" $((seed * 100000 + round)) >"$S/judge.out" 2>&1 || {
		cat "$S/judge.out"; broken "round $round of seed $seed: what was promised is there"; }
	round=$((round + 1))
done
claim "after $rounds kills every promise of every round holds" \
	python3 "$story" judge "$MNT" "$S/notes" "$SOCK" "$PFS" 0
cat "$S/claim.out"
claim "something was promised at all" test "$(grep -c '"acked"' "$S/notes")" -gt "$((rounds / 3))"
claim "something was collected meanwhile" grep -q '"collected"' "$S/notes"
claim "work goes on" sh -c "mkdir '$MNT/kept/last' && echo x > '$MNT/kept/last/x' && echo last > '$MNT/kept/last/.pfs/commit'"
claim "pfsd ends cleanly" stop_pfsd
claim "a full fsck finds nothing" fsck_full
finish
