#!/bin/sh
# kill -9 of pfsd in the middle of writing and committing, fifty times at
# random moments: every commit that was acknowledged is whole afterwards, and
# so is everything that was fsync'ed.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
rounds=${ROUNDS:-50}

start_pfsd
mkdir "$MNT/data" "$MNT/data/master"
claim "a first commit" sh -c "echo base > '$MNT/data/master/.pfs/commit'"

# What the writer does until pfsd dies under it: files whose bytes follow from
# their names, an fsync'ed one now and then, a commit now and then. It notes
# what was promised only after the promise was made.
cat >"$S/writer.py" <<'EOF'
import hashlib, os, random, sys
top, notes, round_no = sys.argv[1], sys.argv[2], int(sys.argv[3])
rng = random.Random(round_no)
branch = top + "/data/master"

def content(name):
    seed = hashlib.sha256(name.encode()).digest()
    size = int.from_bytes(seed[:3], "little") % 300000 if seed[3] < 40 else seed[4] * 8
    return (seed * (size // 32 + 1))[:size]

def write(name, sync):
    path = f"{branch}/{name}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".part", "wb") as f:
        f.write(content(name))
        if sync:
            f.flush()
            os.fsync(f.fileno())
    os.rename(path + ".part", path)
    if sync:
        d = os.open(os.path.dirname(path), os.O_RDONLY)
        os.fsync(d)
        os.close(d)
        note("synced " + name)

def note(text):
    with open(notes, "a") as f:
        f.write(text + "\n")
        f.flush()
        os.fsync(f.fileno())

try:
    written = []
    for i in range(100000):
        name = f"r{round_no}/d{rng.randrange(8)}/f{i}"
        write(name, rng.random() < 0.1)
        written.append(name)
        if rng.random() < 0.05:
            with open(branch + "/.pfs/commit", "w") as f:
                f.write(f"round {round_no}")
            with open(branch + "/.pfs/commit") as f:
                note("commit " + f.read().strip() + " " + " ".join(written))
except OSError:
    pass
EOF

# Everything that was noted must be there: bytes by name in every noted commit.
cat >"$S/judge.py" <<'EOF'
import hashlib, os, sys
top, notes = sys.argv[1], sys.argv[2]
commits = synced = files = 0

def content(name):
    seed = hashlib.sha256(name.encode()).digest()
    size = int.from_bytes(seed[:3], "little") % 300000 if seed[3] < 40 else seed[4] * 8
    return (seed * (size // 32 + 1))[:size]

def check(path, name):
    with open(path, "rb") as f:
        got = f.read()
    if got != content(name):
        sys.exit(f"{path}: {len(got)} bytes, not what was written")

for line in open(notes):
    word, *rest = line.split()
    if word == "synced":
        check(f"{top}/data/master/{rest[0]}", rest[0])
        synced += 1
    else:
        for name in rest[1:]:
            check(f"{top}/data/{rest[0]}/{name}", name)
            files += 1
        commits += 1
print(f"{commits} commits of {files} files and {synced} synced files are whole")
EOF

: >"$S/all-notes"
round=1
while [ $round -le "$rounds" ]; do
	: >"$S/notes"
	python3 "$S/writer.py" "$MNT" "$S/notes" $round >>"$S/writer.log" 2>&1 &
	writer=$!
	sleep "$(awk -v r=$round 'BEGIN { srand(r * 7919); printf "%.3f", 0.05 + rand() * 0.6 }')"
	crash_pfsd
	wait $writer 2>/dev/null
	start_pfsd
	cat "$S/notes" >>"$S/all-notes"
	python3 "$S/judge.py" "$MNT" "$S/notes" >"$S/judge.out" 2>&1 || {
		cat "$S/judge.out"; cp "$S/notes" "$S/judge.out" /tmp/ 2>/dev/null; broken "round $round: what was promised is there"; }
	round=$((round + 1))
done
claim "after $rounds crashes every promise of every round holds" python3 "$S/judge.py" "$MNT" "$S/all-notes"
cat "$S/claim.out"
claim "something was promised at all" test "$(grep -c ^commit "$S/all-notes")" -gt "$((rounds / 5))"
claim "the branch can still be committed" sh -c "echo last > '$MNT/data/master/.pfs/commit'"
claim "pfsd ends cleanly" stop_pfsd
finish
