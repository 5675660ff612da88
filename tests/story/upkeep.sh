#!/bin/sh
# What pfsd does in its spare time: it makes the store smaller, collects what
# was deleted, and finds damage. Nobody notices but the disk and the log.
. "$(dirname "$0")/lib.sh"
need_command curl
need_command python3

stats() { curl -s "$H/stats" | python3 -c 'import json,sys; v = json.load(sys.stdin)["upkeep"]; print(eval(sys.argv[1]))' "$1"; }
commit() { curl -s -XPOST "$H/commit" >/dev/null; }
store_kib() { du -sk "$DATA/store" | cut -f1; }
adopted() { find "$DATA/store/packs/a" -name '*.pk' 2>/dev/null | wc -l; }
logged() { grep -q "$1" "$S/pfsd.log"; }
reads_back() { curl -s "$H/file/$1" | cmp - "$S/$1"; }

for bad in "--maintenance maybe" "--scrub-rate fast" "--scrub-rate 1X" "--rest -1" "--gc-every 9999999"; do
	# shellcheck disable=SC2086
	refuse "pfsd does not start with $bad" "$PFSD" --data "$S/no" --no-mount $bad
done

# ---- with maintenance off nothing happens
start_pfsd --no-mount --maintenance off --rest 0
cd "$S" || exit 1
seq 1 3000000 >text
head -c 20000000 /dev/urandom >random
for f in text random; do
	claim "a file is put: $f" curl -sf -XPOST "$H/file/$f" -T "$f"
done
commit
same "both became part of the store as they are" 2 "$(adopted)"
sleep 3
same "and stay so" 2 "$(adopted)"
same "it says that it is off" off "$(stats 'v["state"]')"
claim "pfsd stops" stop_pfsd

# ---- what compresses is compressed
before=$(store_kib)
start_pfsd --no-mount --rest 0 --scrub-rate 0
claim "the text is rewritten by itself" wait_for 60 logged "store.tidied packs=1"
same "what does not compress stays as it is" 1 "$(adopted)"
claim "the store is smaller by half of the text" test $((before - $(store_kib))) -gt $(($(stat -c %s text) / 2048))
claim "the text reads back" reads_back text
claim "so does the other" reads_back random
same "the figures tell" "1 True" "$(stats '"%d %s" % (v["tidy"]["packs"], v["tidy"]["freed_bytes"] > 2 * v["tidy"]["written_bytes"])')"
claim "pfsd stops at once" sh -c "kill -TERM $PFSD_PID && timeout 5 tail --pid=$PFSD_PID -f /dev/null"
wait "$PFSD_PID"
PFSD_PID=

# ---- what was deleted is collected
start_pfsd --no-mount --rest 1 --scrub-rate 0
claim "a repo of its own" curl -sf -XPOST "$H/repo/junk"
claim "has a branch" curl -sf -XPOST "$H/branch?commit=&branch=master&repo=junk"
head -c 30000000 /dev/urandom >junk
claim "takes a file" curl -sf -XPOST "$H/file/junk?repo=junk&branch=master" -T junk
claim "which is committed" curl -sf -XPOST "$H/commit?repo=junk&branch=master"
same "and taken in" 2 "$(adopted)"
claim "the repo goes" curl -sf -XDELETE "$H/repo/junk?force=true"
claim "and what it held is collected by itself" wait_for 60 logged 'gc.finished reason="something was deleted"'
same "the file is gone" 1 "$(adopted)"
claim "the text reads back" reads_back text
claim "pfsd stops" stop_pfsd

# ---- damage is found and told
pack=$(find "$DATA/store/packs/a" -name '*.pk')
printf 'bad' | dd of="$pack" bs=1 seek=10000000 conv=notrunc status=none
start_pfsd --no-mount --rest 0 --scrub-rate 1G
claim "damage is found by itself" wait_for 60 logged "scrub.damage"
claim "with the file" logged "scrub.damage.*$(basename "$pack" .pk)"
claim "and what to do" logged "scrub.damage.*pfs fsck"
claim "the round comes to its end" wait_for 60 logged "scrub.finished damages=1"
same "the figures tell" 1 "$(stats 'v["scrub"]["damages"]')"
claim "what is not damaged reads back" reads_back text
claim "pfsd stops" stop_pfsd
finish
