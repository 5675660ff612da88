#!/bin/sh
# Garbage: a deleted repo gives back what was promised, and nothing else goes.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_command python3

export PFS_SERVER="$SOCK"
cd "$S" || exit 1
pfs() { "$PFS" "$@"; }

# exits TEXT STATUS COMMAND...
exits() {
	exits_text=$1
	exits_want=$2
	shift 2
	"$@" >"$S/claim.out" 2>&1
	same "$exits_text" "$exits_want" $?
}

# field NAME: of the JSON object on standard input.
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

# Bytes of all files below the store, however the disk keeps them.
store_bytes() { find "$DATA/store" -type f -printf '%s\n' | awk '{ n += $1 } END { print n + 0 }'; }

# fill REPO SEED: files that compress and files that do not, twice the same, many small ones.
fill() {
	python3 - "$MNT/$1/master" "$2" <<'EOP'
import os, random, sys
top, seed = sys.argv[1], int(sys.argv[2])
r = random.Random(seed)
os.makedirs(top + "/small", exist_ok=True)
for i in range(200):
    with open(f"{top}/small/{i}", "wb") as f:
        f.write(b"%d " % seed + r.randbytes(300).hex().encode())
big = r.randbytes(3 << 20)
for name in ("big", "twice"):
    with open(f"{top}/{name}", "wb") as f:
        f.write(big)
with open(top + "/text", "w") as f:
    f.write("".join(f"{seed} line {i} {r.random()}\n" for i in range(60000)))
EOP
}

sums() { (cd "$MNT/$1" && find . -type f -exec sha256sum {} + | sort); }

start_pfsd
for repo in keep gone; do
	claim "repo $repo" sh -c "'$PFS' create repo $repo && '$PFS' create branch $repo@master"
done
fill keep 1
K1=$(pfs commit keep@master)
fill keep 2
K2=$(pfs commit keep@master)
fill gone 3
pfs commit gone@master >/dev/null
fill gone 4
pfs commit gone@master >/dev/null
# What both repos have stays when one goes.
cp "$MNT/keep/master/big" "$MNT/gone/master/shared"
pfs commit gone@master >/dev/null
printf 'not committed\n' >"$MNT/keep/master/open"
sums "keep/$K1" >k1
sums "keep/$K2" >k2

# ---- nothing to collect
claim "gc with nothing to collect" pfs gc
same "removes nothing" 0 "$(pfs gc --raw | field packs_removed)"
same "and finds no garbage" 0 "$(pfs gc --raw --dry-run | field dead_bytes)"

# ---- what it would be
claim "gc --would-free" pfs gc --would-free gone
says "tells of the store" "store"
promised=$(pfs gc --would-free gone --raw | field store_bytes)
claim "is more than what compression leaves of two large files" test "$promised" -gt 6000000
claim "is less with what another repo has too" test "$promised" -lt 16000000
same "of a branch it is nothing: commits stay with their repo" 0 \
	"$(pfs gc --would-free gone@master --raw | field store_bytes)"
exits "of a repo that is not there" 3 pfs gc --would-free nope
says "is refused with its name" "nope"
exits "of a branch that is not there" 3 pfs gc --would-free gone@nope
exits "of a path" 2 pfs gc --would-free gone@master:/big
exits "of no name" 2 pfs gc --would-free ''
before=$(store_bytes)
claim "delete repo" pfs delete repo gone --force

# What was open in the mount keeps the last commit until the kernel lets go of it.
all_is_garbage() { [ "$(pfs gc --dry-run --thorough --raw | field freed_bytes)" = "$promised" ]; }
claim "nobody has the repo open any more" wait_for 30 all_is_garbage

# ---- dry run
claim "gc --dry-run" pfs gc --dry-run --thorough
says "says so" "nothing was changed"
same "finds what was promised" "$promised" "$(pfs gc --dry-run --thorough --raw | field freed_bytes)"
same "and changes nothing" "$before" "$(store_bytes)"

# ---- for real
pfs gc --thorough --raw >report
same "gc --thorough frees what was promised" "$promised" "$(field freed_bytes <report)"
same "and leaves no garbage" 0 "$(field left_bytes <report)"
after=$(store_bytes)
claim "the disk has it again ($before, then $after)" test $((before - after)) -gt $((promised * 9 / 10))
sums "keep/$K1" >k1.after
sums "keep/$K2" >k2.after
claim "the first commit is as it was" cmp k1 k1.after
claim "so is the second" cmp k2 k2.after
same "what is not committed too" "not committed" "$(cat "$MNT/keep/master/open")"
claim "fsck finds nothing" pfs fsck --level full
same "the next one finds no garbage" 0 "$(pfs gc --thorough --raw | field dead_bytes)"

# ---- while somebody writes and commits
(
	i=0
	while [ -e "$S/go" ] || [ $i -lt 5 ]; do
		fill keep $((100 + i)) && pfs commit keep@master || exit 1
		i=$((i + 1))
	done
) >"$S/writer.log" 2>&1 &
writer=$!
touch "$S/go"
for i in 1 2 3; do
	claim "gc beside a writer ($i)" pfs gc --thorough
	pfs create repo guest$i && pfs create branch guest$i@master
	head -c 500000 /dev/urandom >"$MNT/guest$i/master/x"
	pfs commit guest$i@master >/dev/null
	pfs delete repo guest$i --force
done
rm "$S/go"
claim "the writer noticed nothing" wait $writer
claim "gc" pfs gc --thorough
sums "keep/$K1" >k1.after
claim "the first commit is as it was" cmp k1 k1.after

# ---- stopped
kill -STOP "$PFSD_PID"
"$PFS" gc >stopped.out 2>&1 &
gc=$!
sleep 0.5
kill -INT $gc
wait $gc
same "Ctrl-C ends pfs gc" 1 $?
kill -CONT "$PFSD_PID"
claim "it says that it stopped" grep -q "stopped" stopped.out
claim "and the next one is not in anybody's way" pfs gc

# ---- over a restart, and a crash in the middle
pfs create repo guest && pfs create branch guest@master
fill guest 7
pfs commit guest@master >/dev/null
pfs delete repo guest --force
"$PFS" gc --thorough >/dev/null 2>&1 &
gc=$!
sleep 0.02
crash_pfsd
wait $gc
umount -l "$MNT" 2>/dev/null
start_pfsd
sums "keep/$K1" >k1.after
claim "after a crash in a collection the first commit is as it was" cmp k1 k1.after
claim "and fsck finds nothing" pfs fsck --level full
claim "and the next collection ends" pfs gc --thorough
same "with nothing left" 0 "$(pfs gc --dry-run --raw | field dead_bytes)"

# ---- what is done in spare time can be asked for
seq 1 4000000 >text
cp text "$MNT/keep/master/large"
K3=$(pfs commit keep@master)
before=$(store_bytes)
claim "it is tidied at once" pfs tidy
says "and tells what it saved" "saved"
claim "that much" test $((before - $(store_bytes))) -gt $(($(stat -c %s text) / 2))
claim "the file is as it was" cmp text "$MNT/keep/$K3/large"
same "a second time there is nothing to do" 0 "$(pfs tidy --raw | field packs_rewritten)"
claim "and fsck finds nothing" pfs fsck --level full
exits "tidying takes no argument" 2 pfs tidy now
exits "what would be freed is not a collection" 2 pfs gc --would-free keep --thorough
claim "pfsd stops" stop_pfsd
exits "without pfsd" 12 pfs gc
says "the way is told" "start it with pfsd"
finish
