#!/bin/sh
# A large committed file is changed in place, by all the ways programs know, on
# the mount and on a local file: both have the same bytes at every step, through
# commits, while it is being written, after a restart and after a crash.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_command python3
start_pfsd

shadow=$S/shadow
dd if=/dev/urandom of="$shadow" bs=1M count=300 status=none
claim "mkdir makes a repo and a branch" mkdir "$MNT/r" "$MNT/r/b"
cd "$MNT/r/b" || broken "cd into a branch"
claim "cp brings a file of 300 MB" cp "$shadow" big
claim "it is committed" sh -c 'echo first >.pfs/commit'
first=$(cat .pfs/head)
cp --sparse=never "$shadow" "$S/first"

# What the workspace keeps beside the commits, in KB.
spool_kb() { find "$DATA" -path '*/spool/*' -type f -printf '%k\n' | awk '{ s += $1 } END { print s + 0 }'; }
spool_is_empty() { [ "$(spool_kb)" -lt 1100 ]; }
claim "the commit gives the spool back" wait_for 10 spool_is_empty

# edit PATH SEED: the same changes to whatever file it is given.
cat >"$S/edit.py" <<'EOF'
import ctypes, mmap, os, random, sys
path, seed = sys.argv[1], int(sys.argv[2])
r = random.Random(seed)
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open(path, os.O_RDWR)
size = os.fstat(fd).st_size
for i in range(300):
    what, off = r.randrange(12), r.randrange(size)
    n = min(r.choice((1, 100, 4096, 70000, 1 << 20)), size - off)
    if what == 0:
        start = off & ~4095
        with mmap.mmap(fd, min(65536, size - start), offset=start) as m:
            at = off - start
            m[at:at + 5] = bytes(r.randrange(256) for _ in range(len(m[at:at + 5])))
    elif what == 1:
        assert libc.fallocate(fd, 3, ctypes.c_long(off), ctypes.c_long(n)) == 0, os.strerror(ctypes.get_errno())
    elif what == 2 and r.randrange(3) == 0:
        size -= r.randrange(1 << 20)
        os.ftruncate(fd, size)
    elif what == 3 and r.randrange(3) == 0:
        size += r.randrange(1 << 20)
        os.ftruncate(fd, size)
    elif what == 4:
        end = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.write(end, r.randbytes(n))
        os.close(end)
        size += n
    elif what == 5:
        off = size + r.randrange(100000)
        assert os.pwrite(fd, r.randbytes(n), off) == n
        size = off + n
    elif what == 6:
        os.fsync(fd)
    elif what == 7:
        os.pread(fd, n, off)
    else:
        assert os.pwrite(fd, r.randbytes(n), off) == n
    assert os.fstat(fd).st_size == size
os.close(fd)
EOF
edit() { python3 "$S/edit.py" big "$1" && python3 "$S/edit.py" "$shadow" "$1"; }

both() { dd if=/dev/urandom bs="$1" count="$2" status=none >"$S/piece" &&
	dd if="$S/piece" of=big bs="$1" seek="$3" conv=notrunc status=none &&
	dd if="$S/piece" of="$shadow" bs="$1" seek="$3" conv=notrunc status=none; }
claim "dd writes one byte into the middle" both 1 1 123456789
claim "the file has it" cmp big "$shadow"
claim "which costs pages, not the file" test "$(spool_kb)" -lt 1200
claim "dd writes a megabyte across chunks" both 1000 1000 200000
claim "the file has it" cmp big "$shadow"
claim "programs change it" edit 1
claim "the bytes are those of a local file" cmp big "$shadow"
same "and the size" "$(stat -c %s "$shadow")" "$(stat -c %s big)"
claim "a commit" sh -c 'echo second >.pfs/commit'
claim "it is what the branch is" cmp "../$(cat .pfs/head)/big" "$shadow"
claim "the branch goes on with it" cmp big "$shadow"
claim "the first commit is what it was" cmp "../$first/big" "$S/first"
claim "the commit gives the spool back" wait_for 10 spool_is_empty
claim "programs change it again" edit 2
claim "the bytes are those of a local file" cmp big "$shadow"

# ---- many writers ----
claim "eight processes append lines at once" python3 -c '
import os, sys
from multiprocessing import Process
def run(path, who):
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    for i in range(200): os.write(fd, b"%d %03d\n" % (who, i))
before = os.stat("big").st_size
ps = [Process(target=run, args=("big", w)) for w in range(8)]
for p in ps: p.start()
for p in ps: p.join(); assert p.exitcode == 0
with open("big", "rb") as f:
    f.seek(before)
    lines = f.read().split(b"\n")
assert sorted(l for l in lines if l) == sorted(b"%d %03d" % (w, i) for w in range(8) for i in range(200))
with open(sys.argv[1], "ab") as f: f.write(b"\n".join(lines))' "$shadow"
claim "the bytes are those of a local file" cmp big "$shadow"
cat >"$S/write.py" <<'EOF'
# Each process owns every eighth block, and writes its rounds into them until the file says stop.
import os, random, sys
from multiprocessing import Process
path, stop = sys.argv[1:]
size = os.stat(path).st_size >> 16
def run(who):
    fd, r, n = os.open(path, os.O_RDWR), random.Random(who), 0
    last = {}
    while n < 200 or not os.path.exists(stop):
        n += 1
        block = r.randrange(size // 8) * 8 + who
        last[block] = os.urandom(1) * 65536
        os.pwrite(fd, last[block], block << 16)
        if n % 50 == 0: os.fsync(fd)
    for block, want in last.items():
        assert os.pread(fd, 65536, block << 16) == want, block
ps = [Process(target=run, args=(w,)) for w in range(4)]
for p in ps: p.start()
for p in ps: p.join(); assert p.exitcode == 0
EOF
python3 "$S/write.py" big "$S/stop" &
writer=$!
for i in 1 2 3 4 5; do
	claim "a commit while four processes write" sh -c 'echo "while writing" >.pfs/commit'
done
touch "$S/stop"
claim "what they wrote is there" wait "$writer"
cp --sparse=never big "$shadow"
claim "a commit of all of it" sh -c 'echo all >.pfs/commit'
claim "has what the branch has" cmp "../$(cat .pfs/head)/big" "$shadow"

# ---- a writer that stays ----
claim "who keeps it open sees every commit through" python3 -c '
import os
fd = os.open("big", os.O_RDWR)
for i in range(5):
    os.pwrite(fd, b"round %d" % i, 1000 + i * 5000000)
    with open(".pfs/commit", "w") as f: f.write("round %d" % i)
    head = open(".pfs/head").read().strip()
    c = os.open("../%s/big" % head, os.O_RDONLY)
    for j in range(i + 1):
        want = b"round %d" % j
        assert os.pread(fd, 7, 1000 + j * 5000000) == want
        assert os.pread(c, 7, 1000 + j * 5000000) == want
    os.close(c)'
for i in 0 1 2 3 4; do
	printf 'round %d' $i | dd of="$shadow" bs=1 seek=$((1000 + i * 5000000)) conv=notrunc status=none
done
claim "and the branch has it all" cmp big "$shadow"
claim "an O_TRUNC makes it another file" sh -c 'echo other >big && [ "$(cat big)" = other ]'
claim "which is committed" sh -c 'echo other >.pfs/commit && [ "$(cat "../$(cat .pfs/head)/big")" = other ]'
claim "the large one comes back from the commit before" cp "../b^/big" big
claim "and is committed" sh -c 'echo back >.pfs/commit'
claim "as it was" cmp big "$shadow"

# ---- restarts ----
claim "programs change it a third time" edit 3
cd "$S" || exit 1
claim "pfsd is stopped" stop_pfsd
start_pfsd
cd "$MNT/r/b" || broken "cd into a branch"
claim "what was not committed is there" cmp big "$shadow"
claim "programs change it, and flush" sh -c 'python3 "$1" big 4 && sync big' sh "$S/edit.py"
python3 "$S/edit.py" "$shadow" 4
cd "$S" || exit 1
crash_pfsd
umount -l "$MNT" 2>/dev/null
start_pfsd
cd "$MNT/r/b" || broken "cd into a branch"
claim "what was flushed before a crash is there" cmp big "$shadow"
claim "a commit of it" sh -c 'echo last >.pfs/commit'
claim "is the same" cmp "../$(cat .pfs/head)/big" "$shadow"
claim "the first commit is what it was" cmp "../$first/big" "$S/first"
cd "$S" || exit 1
finish
