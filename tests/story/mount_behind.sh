#!/bin/sh
# What changes behind the mount's back, by HTTP, shows in it at once: the
# kernel keeps names, attributes and pages of branches until it is told.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_command curl
need_command python3
start_pfsd

claim "mkdir makes a repo and a branch" mkdir "$MNT/data" "$MNT/data/master"
cd "$MNT/data/master" || broken "cd into a branch"
put() { curl -sS -f -XPOST "http://$H/file/$1?branch=master" --data-binary "$2"; }
# soon COMMAND...: within a second, for it is another thread that tells the kernel.
soon() { wait_for 1 "$@"; }
has() { [ "$(cat "$1")" = "$2" ]; }

refuse "a name is looked for and not there" test -e new
ls >/dev/null
claim "curl puts a file" put new one
claim "the name that was missing is found" soon test -e new
claim "and listed" soon sh -c 'ls | grep -qx new'
claim "with its bytes" soon has new one
claim "curl puts other bytes" put new "other bytes"
claim "they show" soon has new "other bytes"
same "with their size" 11 "$(stat -c %s new)"
exec 5<new
claim "curl replaces it while it is open" put new third
claim "who opens it now reads the new bytes" soon has new third
same "who had it open reads what was there" "other bytes" "$(cat <&5)"
exec 5<&-
claim "curl deletes the file" curl -sS -f -XDELETE "http://$H/file/new?branch=master"
claim "it is gone" soon sh -c '! test -e new'
claim "and no longer listed" soon sh -c '! ls | grep -qx new'

echo mine >local
claim "curl sees what the mount wrote" sh -c "curl -sS -f 'http://$H/file/local?branch=master' | grep -qx mine"
claim "a commit by curl" sh -c "curl -sS -f -XPOST 'http://$H/commit?branch=master' >'$S/commit'"
claim "is at once in .pfs/head" sh -c 'grep -q "$(cat .pfs/head)" "$1"' sh "$S/commit"
first=$(cat .pfs/head)
claim "and readable by its id" has "../$first/local" mine
ls .. >/dev/null
refuse "a branch is looked for and not there" test -e ../side
claim "curl makes a branch" curl -sS -f -XPOST "http://$H/branch?commit=$first&branch=side"
claim "it is found" soon test -e ../side/local
claim "and listed" soon sh -c 'ls .. | grep -qx side'

# A hundred names that were looked for before they came: none stays missing.
claim "no name stays missing" python3 -c '
import os, subprocess, sys, time
worst = 0
for i in range(100):
    name = "n%d" % i
    assert not os.path.exists(name)
    subprocess.run(["curl", "-sS", "-f", "-XPOST", "http://%s/file/%s?branch=master" % (sys.argv[1], name),
        "--data-binary", "x"], check=True, stdout=subprocess.DEVNULL)
    begin = time.time()
    while not os.path.exists(name):
        assert time.time() < begin + 2, name
        time.sleep(0.001)
    worst = max(worst, time.time() - begin)
print("worst: %.1f ms" % (worst * 1e3))' "$H"
cd "$S" || exit 1
finish
