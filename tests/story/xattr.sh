#!/bin/sh
# Extended attributes in a branch: what Linux allows is kept, committed, copied by
# the tools that copy attributes, and durable after fsync; what it does not is
# refused with the error that programs look for.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_command python3
start_pfsd
mkdir "$MNT/r" && mkdir "$MNT/r/b" && cd "$MNT/r/b" || broken "a branch"

# Python with `fails`: the call fails with just this error.
cat >"$S/claims.py" <<'END'
import errno, os, sys
def fails(number, call, *args, **more):
    try:
        call(*args, **more)
    except OSError as e:
        assert e.errno == number, (call.__name__, args[:2], errno.errorcode[e.errno])
    else:
        raise AssertionError("%s%r worked" % (call.__name__, args[:2]))
def keep(path, *attrs):
    for name, value in attrs:
        os.setxattr(path, name, value, follow_symlinks=False)
def dump(path):
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return {n: os.getxattr(path, n, follow_symlinks=False) for n in names}
def dump_tree(root):
    out = {}
    for at, dirs, files in os.walk(root):
        for name in dirs + files:
            p = os.path.join(at, name)
            out[os.path.relpath(p, root)] = dump(p)
    return out
END
py() { PYTHONPATH=$S python3 -c "from claims import *
$1" ${2+"$2"} ${3+"$3"}; }

# ---- what Linux allows ----
mkdir d && echo text >f && ln -s f l && mkfifo p
claim "files, directories, symlinks and fifos take the attributes that Linux lets them have" py '
for path in "f", "d":
    keep(path, ("user.comment", b"of " + path.encode()), ("user.empty", b""), ("trusted.t", b"\0\1\2"),
         ("security.other", b"x"))
    assert dump(path) == {"user.comment": b"of " + path.encode(), "user.empty": b"",
                          "trusted.t": b"\0\1\2", "security.other": b"x"}, dump(path)
for path in "l", "p":
    keep(path, ("trusted.t", path.encode()))
    assert dump(path) == {"trusted.t": path.encode()}, dump(path)
    fails(errno.EPERM, os.setxattr, path, "user.x", b"", follow_symlinks=False)'
claim "XATTR_CREATE and XATTR_REPLACE are obeyed" py '
fails(errno.EEXIST, os.setxattr, "f", "user.comment", b"x", os.XATTR_CREATE)
fails(errno.ENODATA, os.setxattr, "f", "user.none", b"x", os.XATTR_REPLACE)
os.setxattr("f", "user.comment", b"other", os.XATTR_REPLACE)
os.setxattr("f", "user.second", b"", os.XATTR_CREATE)
assert dump("f")["user.comment"] == b"other" and dump("f")["user.second"] == b""
os.removexattr("f", "user.second")
fails(errno.ENODATA, os.removexattr, "f", "user.second")
fails(errno.ENODATA, os.getxattr, "f", "user.second")'
claim "values of 64 KiB and names of 255 bytes" py '
name = "user." + "n" * 250
os.mknod("big")
os.setxattr("big", name, os.urandom(65536))
assert len(os.getxattr("big", name)) == 65536
fails(errno.E2BIG, os.setxattr, "big", "user.more", bytes(65537))
fails(errno.ERANGE, os.setxattr, "big", name + "n", b"")
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
buf = ctypes.create_string_buffer(100)
assert libc.getxattr(b"big", name.encode(), buf, 100) == -1 and ctypes.get_errno() == errno.ERANGE
assert libc.listxattr(b"big", buf, 100) == -1 and ctypes.get_errno() == errno.ERANGE'
claim "many attributes, until there is no room for another" py '
os.mknod("many")
for i in range(500):
    os.setxattr("many", "user.number%d" % i, b"%d" % i)
assert dump("many") == {"user.number%d" % i: b"%d" % i for i in range(500)}
os.mknod("full")
def fill():
    for i in range(20):
        os.setxattr("full", "user.%d" % i, bytes(65536))
fails(errno.ENOSPC, fill)
assert len(dump("full")) == 15
os.mknod("names")
def fill():
    for i in range(300):
        os.setxattr("names", "user.%0250d" % i, b"")
fails(errno.ENOSPC, fill)
assert len(dump("names")) == 256'
claim "setting one changes the time of change, and not that of the bytes" py '
was = os.stat("f")
os.setxattr("f", "user.comment", b"again")
now = os.stat("f")
assert was.st_ctime_ns < now.st_ctime_ns and was.st_mtime_ns == now.st_mtime_ns'
claim "what is computed is not to be changed, and not listed" py '
for path in "f", "d":
    fails(errno.EPERM, os.setxattr, path, "user.pfs.hash", b"x")
    fails(errno.EPERM, os.removexattr, path, "user.pfs.size")
assert not [n for n in os.listxattr("d") if n.startswith("user.pfs")]'
claim "access control lists are said to be unsupported" py '
acl = bytes.fromhex("0200000001000600ffffffff04000400ffffffff20000400ffffffff")
fails(errno.EOPNOTSUPP, os.setxattr, "f", "system.posix_acl_access", acl)
fails(errno.EOPNOTSUPP, os.setxattr, "d", "system.posix_acl_default", acl)
fails(errno.EOPNOTSUPP, os.getxattr, "f", "system.posix_acl_access")'
claim "what is in no namespace of those three is refused, whoever asks" py '
os.mknod("closed", 0o600)
def are_refused(*names):
    for name in names:
        fails(errno.EOPNOTSUPP, os.setxattr, "closed", name, b"x")
        fails(errno.EOPNOTSUPP, os.getxattr, "closed", name)
        fails(errno.EOPNOTSUPP, os.removexattr, "closed", name)
    assert os.listxattr("closed") == []
are_refused("system.other", "system.", "other", "other.x", "user")
for name in "user.", "trusted.", "security.":
    fails(errno.EINVAL, os.setxattr, "closed", name, b"x")
os.setgroups([]); os.setgid(65534); os.setuid(65534)
are_refused("system.other", "system.")'
claim "the top directory of a branch, repos and the root keep none and say so" py '
for path in ".", "..", "../..":
    fails(errno.EOPNOTSUPP, os.setxattr, path, "user.x", b"")
    assert os.listxattr(path) == []'
chmod 666 f && chmod 777 d
claim "who is nobody does not see trusted attributes, and sets no security ones" py '
os.setgroups([]); os.setgid(65534); os.setuid(65534)
assert sorted(os.listxattr("f")) == ["security.other", "user.comment", "user.empty"], os.listxattr("f")
fails(errno.ENODATA, os.getxattr, "f", "trusted.t")
fails(errno.EPERM, os.setxattr, "f", "trusted.t", b"")
fails(errno.EPERM, os.setxattr, "f", "security.other", b"")
os.setxattr("f", "user.mine", b"")
os.removexattr("f", "user.mine")'

# ---- commits ----
echo first >.pfs/commit
first=$(cat .pfs/commit)
claim "a commit has them all" py 'assert dump_tree(".") == dump_tree(sys.argv[1]) and len(dump(sys.argv[1] + "/many")) == 500' "../$first"
claim "and takes no other" py '
fails(errno.EROFS, os.setxattr, sys.argv[1] + "/f", "user.x", b"")
fails(errno.EROFS, os.removexattr, sys.argv[1] + "/f", "user.comment")' "../$first"
claim "its computed ones are found" py 'assert os.getxattr(sys.argv[1] + "/f", "user.pfs.size") == b"5"' "../$first"
claim "a branch from it has them" sh -c "ln -s $first ../again && test -e ../again/f"
claim "a change there is not seen here" py '
os.setxattr("../again/f", "user.comment", b"there")
os.removexattr("../again/d", "user.comment")
assert dump("f")["user.comment"] == b"again" and dump("d")["user.comment"] == b"of d"
assert dump("../again/f")["user.comment"] == b"there" and "user.comment" not in dump("../again/d")'
claim "attributes alone are something to commit" sh -c '
	cd ../again && echo second >.pfs/commit && [ "$(cat .pfs/head)" != "$(cat ../b/.pfs/head)" ]'
claim "both versions are kept" py '
assert dump("../again^/f")["user.comment"] == b"again" and dump("../again/f")["user.comment"] == b"there"'
claim "a rename takes them along, what is replaced loses its own" py '
open("new", "w").close(); keep("new", ("user.new", b"1"))
os.mknod("old"); keep("old", ("user.old", b"1"))
os.rename("new", "old")
assert dump("old") == {"user.new": b"1"}
keep("d", ("user.moves", b"1")); os.rename("d", "e")
assert dump("e")["user.moves"] == b"1"; os.rename("e", "d")'
claim "a collection leaves them alone, committed or not" "$PFS" --socket "$SOCK" gc --thorough
claim "they are all there" py '
assert dump("old") == {"user.new": b"1"} and len(dump("many")) == 500 and len(dump("../again/full")) == 15'

# ---- capabilities ----
if command -v setcap >/dev/null 2>&1; then
	cp /bin/true prog
	has_cap() { getcap prog | grep -q net_raw; }
	give_cap() { setcap cap_net_raw+ep prog && has_cap; }
	claim "setcap gives a capability" give_cap
	loses() {
		claim_text=$1
		shift
		give_cap || broken "$claim_text: setcap"
		"$@" || broken "$claim_text: $*"
		refuse "$claim_text" has_cap
	}
	loses "writing takes it away" sh -c 'printf x >>prog'
	loses "so does writing in place" sh -c 'printf x | dd of=prog conv=notrunc status=none'
	loses "so does truncating by name" truncate -s 100 prog
	loses "so does opening to truncate" sh -c ': >prog'
	loses "so does another owner" chown 1:1 prog
	give_cap && echo caps >.pfs/commit
	claim "a commit keeps it" sh -c 'getcap "../$(cat .pfs/commit)/prog" | grep -q net_raw'
	loses "writing into the committed file takes it away" sh -c 'printf y >>prog'
	head -c 3000000 /dev/urandom >prog && echo large >.pfs/commit
	loses "into a large one too" sh -c 'printf y | dd of=prog conv=notrunc bs=1 seek=2000000 status=none'
fi

# ---- the tools ----
mkdir -p "$S/src/sub/deep"
echo one >"$S/src/one"
echo two >"$S/src/sub/two"
ln -s one "$S/src/link"
py 'for at, dirs, files in os.walk(sys.argv[1]):
    for name in dirs + files:
        p = os.path.join(at, name)
        if not os.path.islink(p): keep(p, ("user.name", name.encode()), ("user.bin", bytes(range(256))))
        keep(p, ("trusted.name", name.encode()))' "$S/src" || skip "needs attributes on the disk of $S"
alike() { py 'a, b = dump_tree(sys.argv[1]), dump_tree(sys.argv[2])
assert a == b and len(a) >= 5, (a, b)' "$1" "$2"; }
claim "cp -a brings them in" cp -a "$S/src" cp
claim "as they were" alike "$S/src" cp
claim "tar --xattrs packs them up" tar --xattrs --xattrs-include='*' -C cp -cf "$S/x.tar" .
mkdir tar
claim "and out" tar --xattrs --xattrs-include='*' -C tar -xf "$S/x.tar"
claim "as they were" alike "$S/src" tar
if command -v rsync >/dev/null 2>&1; then
	claim "rsync -X brings them in" rsync -aX "$S/src/" rsync/
	claim "as they were" alike "$S/src" rsync
	same "and finds nothing to do the second time" "" "$(rsync -aXin "$S/src/" rsync/)"
fi
echo tools >.pfs/commit
claim "cp -a takes them out of a commit" cp -a "../$(cat .pfs/commit)/cp" "$S/out"
claim "as they were" alike "$S/src" "$S/out"

# ---- durable ----
claim "fsync of a file keeps its attributes over a crash" py '
open("safe", "w").close()
fd = os.open("safe", os.O_RDONLY)
os.setxattr("safe", "user.safe", b"1" * 60000)
os.fsync(fd)
fd = os.open("sub2", os.O_RDONLY) if os.path.exists("sub2") else None
os.mkdir("dsafe"); os.setxattr("dsafe", "user.safe", b"2")
fd = os.open("dsafe", os.O_RDONLY); os.fsync(fd)'
cd "$S" || exit 1
crash_pfsd
umount -l "$MNT"
start_pfsd
cd "$MNT/r/b" || broken "the branch after a crash"
claim "after the crash they are there" py '
assert dump("safe") == {"user.safe": b"1" * 60000} and dump("dsafe") == {"user.safe": b"2"}'
claim "so are the committed ones" alike "$S/src" cp
echo after >.pfs/commit
claim "and go into the next commit" py 'assert dump(sys.argv[1] + "/safe") == {"user.safe": b"1" * 60000}' "../$(cat .pfs/commit)"
cd "$S" || exit 1
claim "fsck finds nothing wrong" "$PFS" --socket "$SOCK" fsck --level full
claim "pfsd ends" stop_pfsd
finish
