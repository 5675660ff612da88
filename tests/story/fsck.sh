#!/bin/sh
# Damage: flipped bytes, lost indexes, lost names, lost journals. fsck names the
# right commits and paths, mends what has another copy, and says so.
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

last() { tail -n 1 "$S/claim.out"; }
verdict() { last | sed 's/[ :;].*//'; }

# flip FILE: one bit in the middle of what the store keeps of this file, which does not compress.
flip() {
	python3 - "$DATA/store" "$1" <<'EOP'
import os, sys, time
want = open(sys.argv[2], "rb").read()
want = want[len(want) // 2:len(want) // 2 + 64]
for turn in range(10):
    for top, _, names in os.walk(sys.argv[1]):
        for name in names:
            path = os.path.join(top, name)
            try:
                at = open(path, "rb").read().find(want)
            except FileNotFoundError:
                continue
            if at >= 0:
                with open(path, "r+b") as f:
                    f.seek(at + 32)
                    f.write(bytes([want[32] ^ 1]))
                sys.exit(0)
    time.sleep(0.2) # pfsd moves it just now
sys.exit("not in the store")
EOP
}

# What was committed stays in the spool for a moment, and would be a copy.
spool_is_empty() { test -z "$(find "$DATA/workspaces" -path '*/spool/*-*' -type f -size +2)"; }

# ---- before there is anything
exits "without pfsd it cannot look" 8 pfs fsck
says "and the way is told" "start it with pfsd --data DIR --mount DIR --socket $SOCK"
exits "a level that is none" 2 pfs fsck --level deep
says "names those that are" "quick, reach and full"
exits "a word too much" 2 pfs fsck books
mkdir nothing
exits "a folder without a store" 8 pfs fsck --data nothing
says "is told to be none" "no data folder of pfs"
claim "and nothing is made in it" test -z "$(ls -A nothing)"
exits "a folder that is not there" 8 pfs fsck --data nowhere
says "is named" "nowhere"

# ---- two commits and what is not committed
start_pfsd
claim "a repo" sh -c "'$PFS' create repo books && '$PFS' create branch books@master"
M=$MNT/books/master
mkdir "$M/dir"
for name in alone twice deep; do head -c 700000 /dev/urandom >$name; done
cp alone twice "$M"
cp deep "$M/dir"
C1=$(pfs commit books@master)
printf 'second\n' >"$M/second"
C2=$(pfs commit books@master)
printf 'not committed\n' >"$M/open"

exits "a whole instance" 0 pfs fsck --level full
same "is clean" clean "$(verdict)"
exits "at each level" 0 pfs fsck --level quick
exits "and repair finds nothing to do" 0 pfs fsck --repair
exits "a folder in use is not looked at" 8 pfs fsck --data "$DATA"
says "and the way is told" "without --data"
(sleep 1; umount "$MNT") &
exits "one whose pfsd is about to end is waited for" 0 pfs fsck --data "$DATA"
wait $!
wait "$PFSD_PID"
start_pfsd

# ---- a flipped bit
claim "the spool is emptied" wait_for 30 spool_is_empty
claim "flip a bit" flip alone
exits "quick looks not that close" 0 pfs fsck --level quick
exits "full finds it" 4 pfs fsck --level full
says "with the pack and the place" "damage: pack "
says "and the path, in all commits that have it" \
	"affected: books@$C2:/alone cannot be read whole, nor in 1 commit before, down to $C1"
same "the last line sums it up" damaged "$(verdict)"
cp claim.out found
refuse "no other path is named" grep -E 'affected.*(twice|deep|second|open)' found
pfs fsck --level full --raw >raw
claim "--raw is JSON, with repo, path and commits" python3 -c '
import json, sys
lines = [json.loads(l) for l in open("raw")]
a = [l for l in lines if l["kind"] == "affected"]
assert len(a) == 1 and a[0]["repo"] == "books" and a[0]["path"] == "alone", a
assert a[0]["first"] == sys.argv[1] and a[0]["last"] == sys.argv[2] and a[0]["commits"] == 2, a
assert lines[-1]["kind"] == "report" and lines[-1]["missing"] == lines[-1]["remaining"] > 0, lines[-1]
' "$C1" "$C2"
curl -sN --unix-socket "$SOCK" -X POST "http://localhost/fsck?level=full" >http
claim "by HTTP it says the same" sh -c "grep -v '^\$' http | diff - raw"
exits "no copy, no repair" 4 pfs fsck --level full --repair
says "and what to do" "put the files, from a backup, into any branch and repair again"
refuse "reading it fails" cat "$MNT/books/$C1/alone"
claim "and the log names the file" grep -q "fuse.read .*/books/$C1/alone: " "$S/pfsd.log"
exits "getting it names the damage" 11 pfs get file "books@$C1:alone" -o got
says "and the file" "alone"
claim "nothing is left of what came" test ! -e got
claim "reading the rest does not" cmp deep "$MNT/books/$C1/dir/deep"

# ---- a copy that is not committed
cp alone "$M/again"
exits "with a copy it is mended" 1 pfs fsck --level full --repair
says "from there" "mended: "
says "and the pack is rewritten" ": rewritten without its damage"
same "the last line sums it up" mended "$(verdict)"
claim "and reads back" cmp alone "$MNT/books/$C1/alone"
exits "and nothing is left of the damage" 0 pfs fsck --level full
same "so all is clean" clean "$(verdict)"
claim "what lay beside it is whole too" sh -c "cmp twice '$MNT/books/$C1/twice' && cmp deep '$MNT/books/$C2/dir/deep'"
rm "$M/again"

# ---- the index
claim "rebuild the index of a running pfsd" pfs fsck --rebuild-index
says "it says so" "made anew"
claim "pfsd stops" stop_pfsd
exits "a folder that nobody has is looked at without pfsd" 0 pfs fsck --data "$DATA"
claim "lose the index" sh -c "ls '$DATA/store/index' && rm -rf '$DATA/store/index'"
exits "which is no damage" 0 pfs fsck --data "$DATA" --rebuild-index
start_pfsd
claim "everything reads back" cmp twice "$MNT/books/$C1/twice"
claim "pfsd stops" stop_pfsd

# ---- the names
rm -f "$DATA/meta.db" "$DATA/meta.db-wal" "$DATA/meta.db-shm"
refuse "without meta.db pfsd does not start" timeout 20 "$PFSD" --data "$DATA" --no-mount --socket "$S/no.sock" --listen 127.0.0.1:0
says "and tells the way" "pfs fsck --data $DATA --repair"
exits "fsck says what is wrong" 4 pfs fsck --data "$DATA"
says "in words" "the names are lost"
exits "and mends nothing unasked" 4 pfs fsck --data "$DATA"
exits "and mends it" 1 pfs fsck --data "$DATA" --repair
says "commit by commit" "mended: books@$C1: restored from its record"
exits "then all is clean" 0 pfs fsck --data "$DATA"
start_pfsd
claim "pfsd starts, with all commits" cmp deep "$MNT/books/$C2/dir/deep"
same "and what was not committed" "not committed" "$(cat "$M/open")"

# ---- a page of the database
# flip_page NUMBER
flip_page() {
	python3 - "$DATA/meta.db" "$1" <<'EOP'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek((int(sys.argv[2]) - 1) * 4096 + 900)
    byte = f.read(1)[0]
    f.seek(-1, 1)
    f.write(bytes([byte ^ 1]))
EOP
}
claim "pfsd stops" stop_pfsd
for page in 1 2 3 5; do
	claim "flip a bit of page $page of meta.db" flip_page $page
	refuse "pfsd does not start on it" timeout 20 "$PFSD" --data "$DATA" --no-mount --socket "$S/no.sock" --listen 127.0.0.1:0
	says "and tells the way" "pfs fsck --data $DATA"
	exits "fsck finds it" 4 pfs fsck --data "$DATA"
	says "and says what it would do" "note: --repair moves the damaged meta.db aside"
	exits "and mends it" 1 pfs fsck --data "$DATA" --repair
	says "and keeps the damaged one" "$DATA/meta.db.damaged-"
	exits "then all is clean" 0 pfs fsck --data "$DATA"
done
start_pfsd
claim "pfsd starts, with all commits" cmp deep "$MNT/books/$C2/dir/deep"
same "and what was not committed" "not committed" "$(cat "$M/open")"

# ---- a copy of the superblock
claim "pfsd stops" stop_pfsd
claim "damage one copy of the superblock" \
	sh -c "printf x | dd of='$DATA/store/STORE' bs=1 seek=40 conv=notrunc"
start_pfsd
claim "pfsd starts and warns" grep 'pfsd.warning.*pfs fsck --repair' "$S/pfsd.log"
exits "repair writes it anew" 1 pfs fsck --repair
claim "pfsd stops" stop_pfsd
start_pfsd
same "and it does not warn again" 1 "$(grep -c pfsd.warning "$S/pfsd.log")"

# ---- a file of a workspace
claim "pfsd stops" stop_pfsd
spool=$(find "$DATA/workspaces" -path '*/spool/*-*' -type f -size -2 | head -n 1)
claim "lose a file that is not committed" rm "$spool"
exits "fsck names branch and path" 4 pfs fsck --data "$DATA"
says "as it should" "affected: books@master:/open, not committed, cannot be read whole"
exits "repair cannot bring it back" 4 pfs fsck --data "$DATA" --repair
says "and says how it is now" "affected: books@master:/open, not committed, has zeros now where bytes are lost"
says "and what is to be done" "1 loss of what was not committed: copy the files to their own paths again"
cp claim.out found
refuse "and nothing else" grep -F "from a backup" found
exits "but then the branch can be used" 0 pfs fsck --data "$DATA"
start_pfsd
claim "as it can" cmp twice "$M/twice"
same "and the file is as long as it was" 14 "$(stat -c %s "$M/open")"
printf 'new\n' >"$M/new"
claim "and be committed" pfs commit books@master

# ---- a journal
printf 'later\n' >"$M/later"
claim "pfsd stops" stop_pfsd
journal=$(find "$DATA/workspaces" -name journal.db)
rm -f "$journal-wal" "$journal-shm"
printf 'this is not a database' >"$journal"
exits "a journal that is none is found" 4 pfs fsck --data "$DATA"
says "with its branch" "not committed on books@master"
exits "what was not committed stays lost" 4 pfs fsck --data "$DATA" --repair
says "but is not thrown away" "$DATA/lost/"
exits "the rest is clean" 0 pfs fsck --data "$DATA"
start_pfsd
same "the branch stands on its last commit" new "$(cat "$M/new")"
claim "and without what came later" test ! -e "$M/later"

printf 'later still\n' >"$M/later"
claim "pfsd stops" stop_pfsd
rm -f "$journal" "$journal-wal" "$journal-shm"
start_pfsd
refuse "without its journal a workspace is not opened" cat "$M/later"
claim "pfsd stops" stop_pfsd
claim "and no file of it goes" test -n "$(find "$DATA/workspaces" -path '*/spool/*-*' -type f)"
exits "a journal that is gone is found" 4 pfs fsck --data "$DATA" --repair
says "with its branch" "not committed on books@master"
claim "and its files are kept" \
	sh -c "find '$DATA/lost' -path '*/spool/*-*' -type f -exec cat {} + | grep -q 'later still'"
exits "the rest is clean" 0 pfs fsck --data "$DATA"
start_pfsd
same "the branch stands on its last commit" new "$(cat "$M/new")"

# ---- damage is known after a restart, also when a process of its own found it
claim "another repo" sh -c "'$PFS' create repo logs && '$PFS' create branch logs@master"
L=$MNT/logs/master
for who in pfsd data; do
	head -c 20000000 /dev/urandom >found-$who
	cp found-$who "$L"
	C=$(pfs commit logs@master)
	claim "the spool is emptied" wait_for 30 spool_is_empty
	claim "it is kept as it is" sh -c "ls '$DATA'/store/packs/a/*/*.pk"
	claim "flip a bit" flip found-$who
	if [ $who = pfsd ]; then
		exits "full finds it" 4 pfs fsck --level full
		claim "pfsd stops" stop_pfsd
	else
		claim "pfsd stops" stop_pfsd
		exits "full finds it without pfsd" 4 pfs fsck --data "$DATA" --level full
	fi
	start_pfsd
	claim "it is warned of" sh -c "tail -n 3 '$S/pfsd.log' | grep 'pfsd.warning.*damage that is known'"
	claim "the figures are told" pfs stats
	says "with what is known" "known damages: 1"
	exits "quick knows of it after a restart" 4 pfs fsck --level quick
	exits "and so does reach" 4 pfs fsck
	says "with the path" "logs@$C:/found-$who cannot be read whole"
	crash_pfsd
	umount -l "$MNT"
	start_pfsd
	exits "and after a crash" 4 pfs fsck
	claim "bring it back from a backup" cp found-$who "$L/again"
	if [ $who = pfsd ]; then
		C=$(pfs commit logs@master)
		claim "the spool is emptied" wait_for 30 spool_is_empty
		left=1 # the damaged bytes, for the next repair
	else
		exits "it is mended from there" 1 pfs fsck --repair
		rm "$L/again"
		left=0
	fi
	claim "pfsd stops" stop_pfsd
	start_pfsd
	claim "it is stored anew" cmp found-$who "$MNT/logs/$C/found-$who"
	[ $who = data ] || claim "also by its new name" cmp found-$who "$MNT/logs/$C/again"
	exits "what is needed is whole" 0 pfs fsck
	exits "nothing of it is missing" $left pfs fsck --level full --repair
	exits "and nothing of the damage is left" 0 pfs fsck --level full
	claim "it is still there" cmp found-$who "$L/found-$who"
	exits "and whole" 0 pfs fsck
	claim "pfsd stops" stop_pfsd
	exits "also for a process of its own" 0 pfs fsck --data "$DATA"
	start_pfsd
done

# ---- stopped
kill -STOP "$PFSD_PID"
"$PFS" fsck --level full >stopped.out 2>&1 &
look=$!
sleep 0.5
kill -INT $look
wait $look
same "Ctrl-C stops it, with a status of its own" 32 $?
kill -CONT "$PFSD_PID"
same "and a last line" stopped "$(tail -n 1 stopped.out | cut -d: -f1 | cut -d';' -f1)"
exits "pfsd goes on" 0 pfs fsck
claim "pfsd stops" stop_pfsd
finish
