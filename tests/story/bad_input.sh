#!/bin/sh
# Bad input: each a clear error that names the thing, with the right status or
# errno, and nothing lost.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_command python3

# Everything on a small disk of its own, so that it can be filled.
truncate -s 96M "$S/disk"
mkfs.ext4 -q -F "$S/disk" 2>/dev/null || skip "needs mkfs.ext4"
mkdir "$S/small"
mount -o loop "$S/disk" "$S/small" 2>/dev/null || skip "needs a loop device"
DATA=$S/small/data
start_pfsd

# answer CODE TEXT-FRAGMENT CLAIM CURL-ARGUMENTS...
answer() {
	want=$1 fragment=$2 text=$3
	shift 3
	got=$(curl -s -o "$S/claim.out" -w '%{http_code}' "$@")
	same "$text: status" "$want" "$got"
	says "$text: says so" "$fragment"
}

printf 'image busybox\nfrobnicate all\nrun true\n' >"$S/p"
answer 400 'line 2' "a pipeline that is refused" -XPOST "http://$H/pipeline/p" -T "$S/p"
same "makes no repo" "" "$(ls "$MNT")"
printf 'image busybox\ninput pps://nobody\nrun true\n' >"$S/p"
answer 404 nobody "nor does one that reads what is not there" -XPOST "http://$H/pipeline/p" -T "$S/p"
same "not even the default one" "" "$(ls "$MNT")"
mkdir "$MNT/data" "$MNT/data/master"
echo kept >"$MNT/data/master/kept"
echo start >"$MNT/data/master/.pfs/commit"
first=$(cat "$MNT/data/master/.pfs/commit")

printf 'image busybox\nfrobnicate all\nrun true\n' >"$S/p"
answer 400 'line 2' "an unknown keyword names its line" -XPOST "http://$H/pipeline/p" -T "$S/p"
says "an unknown keyword is named" frobnicate
printf 'input text\nrun true\n' >"$S/p"
answer 400 image "a run without an image" -XPOST "http://$H/pipeline/p" -T "$S/p"
printf 'image busybox\ninput ../etc\nrun true\n' >"$S/p"
answer 400 '..' "an input that climbs out" -XPOST "http://$H/pipeline/p" -T "$S/p"
printf 'image busybox\ninput pps://nobody\nrun true\n' >"$S/p"
answer 404 nobody "an input pipeline that does not exist" -XPOST "http://$H/pipeline/p" -T "$S/p"
answer 404 '"p"' "none of them was recorded" "http://$H/pipeline/p"

answer 404 nowhere "an unknown repo is named" "http://$H/file/x?repo=nowhere"
answer 404 nothing "an unknown file is named" "http://$H/file/nothing"
answer 404 elsewhere "an unknown branch is named" "http://$H/file/kept?commit=elsewhere"
answer 404 elsewhere "a commit of an unknown branch" -XPOST "http://$H/commit?branch=elsewhere"
answer 400 'true or false' "a switch that is neither on nor off" -XPOST "http://$H/gc?dry_run=maybe"
answer 409 'commit' "a switch that is off" -XDELETE "http://$H/repo/data?force=false"
answer 409 'commit' "a switch that is 0" -XDELETE "http://$H/repo/data?force=0"
answer 200 '"dry_run":false' "a switch that is off is not on" -XPOST "http://$H/gc?dry_run=false"
answer 400 '..' "a path with .." --path-as-is "http://$H/file/a/../../etc/passwd"
answer 400 '..' "a path with escaped .." --path-as-is "http://$H/file/%2e%2e/%2e%2e/etc/passwd"
answer 403 "$first" "writing into a commit" -XPOST "http://$H/file/x?branch=$first" --data-binary x
answer 409 master "making a branch that exists" -XPOST "http://$H/branch?commit=$first&branch=master"

# errno_of PYTHON: the name of the errno that the statement raises.
errno_of() {
	python3 -c "
import errno, os, sys
top = sys.argv[1]; first = sys.argv[2]
try:
    $1
except OSError as e:
    print(errno.errorcode[e.errno])
else:
    print('none')" "$MNT" "$first"
}
same "opening a commit's file for writing is EROFS" EROFS "$(errno_of "open(f'{top}/data/{first}/kept', 'w')")"
same "creating in a commit is EROFS" EROFS "$(errno_of "open(f'{top}/data/{first}/new', 'w')")"
same "removing from a commit is EROFS" EROFS "$(errno_of "os.unlink(f'{top}/data/{first}/kept')")"
same "mkdir in a commit is EROFS" EROFS "$(errno_of "os.mkdir(f'{top}/data/{first}/d')")"
short=$(echo "$first" | cut -c 1-8)
same "removing a commit by the beginning of its id is EROFS" EROFS "$(errno_of "os.rmdir(f'{top}/data/$short')")"
same "renaming it is EROFS" EROFS "$(errno_of "os.rename(f'{top}/data/$short', f'{top}/data/zz')")"
same "renaming in a commit is EROFS" EROFS "$(errno_of "os.rename(f'{top}/data/{first}/kept', f'{top}/data/{first}/k')")"
same "truncating a commit's file is EROFS" EROFS "$(errno_of "os.truncate(f'{top}/data/{first}/kept', 0)")"
same "chmod in a commit is EROFS" EROFS "$(errno_of "os.chmod(f'{top}/data/{first}/kept', 0o600)")"
same "an unknown branch is ENOENT" ENOENT "$(errno_of "os.listdir(f'{top}/data/elsewhere')")"
same "an unknown commit is ENOENT" ENOENT "$(errno_of "os.listdir(f'{top}/data/{\"0\" * 32}')")"
same "a repo with content is not removed: ENOTEMPTY" ENOTEMPTY "$(errno_of "os.rmdir(f'{top}/data')")"
same "a name of 256 bytes is ENAMETOOLONG" ENAMETOOLONG "$(errno_of "open(f'{top}/data/master/' + 'x' * 256, 'w')")"
same "a repo name with a dot is refused: EINVAL" EINVAL "$(errno_of "os.mkdir(f'{top}/a.b')")"
same "a plain file beside the repos is refused" EPERM "$(errno_of "open(f'{top}/file', 'w')" | sed 's/EROFS/EPERM/; s/EACCES/EPERM/')"

# A full disk.
filled=$(errno_of "
    with open(f'{top}/data/master/big', 'wb') as f:
        while True:
            f.write(os.urandom(1 << 20))
            f.flush(); os.fsync(f.fileno())" | tail -1)
same "a full disk is ENOSPC to who writes" ENOSPC "$filled"
code=$(curl -s -o "$S/claim.out" -w '%{http_code}' -XPOST "http://$H/commit?branch=master")
case $code in
200) : ;; # the store found room for it after all: it must then be whole
507) says "a commit on a full disk says why" space ;;
*) cat "$S/claim.out"; broken "a commit on a full disk is 507, got $code" ;;
esac
same "what was committed before reads on" kept "$(cat "$MNT/data/$first/kept")"
claim "removing the big file" rm "$MNT/data/master/big"
claim "the head reads on" cat "$MNT/data/$(cat "$MNT/data/master/.pfs/head")/kept"
echo after >"$MNT/data/master/after" || broken "a small file can be written when there is room again"
# Shells do not see that closing failed: the id of the commit before is not to be taken for the new one.
head -c 70000 /dev/zero | tr '\0' x >"$S/long"
sh -c "cat '$S/long' > '$MNT/data/master/.pfs/commit'" 2>/dev/null
refuse "after a commit that failed no id is read" cat "$MNT/data/master/.pfs/commit"
says "and the reason is that of close(2)" "File too large"
claim "a commit works when there is room again" sh -c "echo again > '$MNT/data/master/.pfs/commit'"
second=$(cat "$MNT/data/master/.pfs/commit")
same "and has the new file" after "$(cat "$MNT/data/$second/after")"
same "and the old" kept "$(cat "$MNT/data/$second/kept")"
claim "pfsd ends cleanly" stop_pfsd
start_pfsd
same "after a restart too" after "$(cat "$MNT/data/$second/after")"
claim "pfsd ends cleanly again" stop_pfsd
umount "$S/small"
finish
