#!/bin/sh
# Real programs inside a branch, each beside itself on a local disk: the trees it
# leaves must be alike, and so must a commit of them. A program that is not
# installed is told of and left out.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
start_pfsd
B=$MNT/r/b
DISK=$S/disk
mkdir "$MNT/r" "$B" "$DISK" && chmod 711 "$S" || broken "a branch"
export PROJECT DISK B
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null LC_ALL=C.UTF-8

# All there is to see of a tree but times, or with them; directories count their names as they like.
tree() {
	(cd "$1" && find . -mindepth 1 \( -type d -printf '%P %y %m %U:%G\n' \) -o -printf "%P %y %m %U:%G %n %s %l ${2:-}\n" |
		sort && find . -type f -print0 | sort -z | xargs -0r sha256sum)
}
alike() { tree "$1" "${3:-}" >"$S/one" && tree "$2" "${3:-}" >"$S/other" && cmp "$S/one" "$S/other" || diff "$S/one" "$S/other"; }
commit() { echo "$1" >"$B/.pfs/commit" && cat "$B/.pfs/commit"; }

# have PROGRAM...: all of them.
have() {
	for program in "$@"; do
		command -v "$program" >/dev/null 2>&1 || { echo "skipped: needs $program"; return 1; }
	done
}

# beside TEXT NAME TIMES SCRIPT: in a folder NAME of the branch, and of the disk.
# TIMES is %T@ where those are to be alike, too.
beside() {
	mkdir -p "$B/$2" "$DISK/$2"
	claim "$1" sh -ec "cd '$B/$2'; $4"
	claim "... on the disk beside" sh -ec "cd '$DISK/$2'; $4"
	claim "... leaves the same" alike "$DISK/$2" "$B/$2" "$3"
}

# What all of them work on: modes, links, holes, attributes, names.
mkdir "$S/in" "$S/in/sub" "$S/in/sub/deep" "$S/in/locked"
cp -r "$PROJECT/src/base" "$S/in/base"
head -c 3000000 /dev/urandom >"$S/in/random"
truncate -s 5M "$S/in/holes" && printf end >>"$S/in/holes" && printf x | dd of="$S/in/holes" bs=1 seek=2500000 conv=notrunc status=none
ln "$S/in/random" "$S/in/sub/same" && ln -s ../random "$S/in/sub/link" && ln -s nowhere "$S/in/dangling"
mkfifo -m 640 "$S/in/fifo"
: >"$S/in/ line
break" && : >"$S/in/-dash" && : >"$(printf '%s/in/\377\376' "$S")"
chmod 4755 "$S/in/sub/same" && chmod 2770 "$S/in/sub" && chmod 000 "$S/in/locked" && chown 1234:5678 "$S/in/holes"
# Not of this second: rsync takes that for the same time.
find "$S/in" -print0 | xargs -0 touch -h -d "2001-02-03 04:05:06.789"
python3 -c 'import os, sys; os.setxattr(sys.argv[1], "user.note", b"\0any\377")' "$S/in/random"
export IN="$S/in"
noted() { python3 -c 'import os, sys; assert os.getxattr(sys.argv[1], "user.note") == b"\0any\377"' "$1"; }
sparse() { [ "$(stat -c %b "$1")" -lt 5000 ]; }

# ---- copies ----
beside "cp -a" cp %T@ 'cp -a "$IN" x; cp -a x y'
claim "... keeps attributes" noted "$B/cp/y/random"
if have rsync; then
	beside "rsync -aHAX" rsync %T@ 'rsync -aHX "$IN/" x; rsync -aHX x/ y'
	claim "... keeps attributes" noted "$B/rsync/y/random"
	beside "rsync --inplace, --sparse and --delete" rsync %T@ '
		cp -a "$IN" from; printf changed | dd of=from/random bs=1 seek=1000000 conv=notrunc status=none
		touch -d "2011-01-01" from/random; rm -r from/base; : >x/extra
		rsync -aHX --inplace --delete from/ x
		rsync -aHX --sparse --delete --ignore-times from/ y
		rsync -aHXn --delete --itemize-changes from/ x >changes; test ! -s changes; rm changes'
	claim "... keeps holes" sparse "$B/rsync/y/holes"
	claim "rsync back" rsync -aHX "$B/rsync/x/" "$S/back"
	claim "... is the same" alike "$DISK/rsync/x" "$S/back" %T@
fi
beside "tar with attributes, holes and hard links" tar %T@ '
	tar --xattrs --sparse -C "$IN" -cf t.tar .; mkdir x; tar --xattrs --xattrs-include="*" -xpf t.tar -C x; rm t.tar
	tar --xattrs --sparse -C x -cf - . | (mkdir y; tar --xattrs --xattrs-include="*" -xpf - -C y)'
claim "... keeps attributes" noted "$B/tar/y/random"
claim "... keeps holes" sparse "$B/tar/y/holes"
if have dpkg-deb; then
	beside "dpkg-deb, there and back" deb %T@ '
		mkdir -p p/DEBIAN p/usr/bin p/var; cp -a "$IN/base" p/usr/share; cp -a "$IN/sub" p/var/sub
		printf "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n" >p/DEBIAN/control
		printf "#!/bin/sh\n" >p/usr/bin/tool; chmod 4711 p/usr/bin/tool; chmod 1777 p/var
		find p -print0 | xargs -0 touch -h -d "2020-01-01"
		SOURCE_DATE_EPOCH=1577836800 dpkg-deb -Znone --build p x.deb; dpkg-deb -x x.deb y; dpkg-deb -e x.deb e; touch -d "2020-01-01" x.deb e'
fi

# ---- editing ----
beside "sed -i, and how editors save" edit "" '
	cp "$IN/base/buf.c" "$IN/base/io.c" .; sed -i s/pfs_/xyz_/g buf.c; sed -i.old 1,10d io.c
	for i in 1 2 3 4 5; do
		printf "%s\n" "version $i" >.file.swp; ln -f file file~ 2>/dev/null || :; mv .file.swp file
		cp -p file file.bak; printf "%s\n" "in place $i" >file; sync file; done'
have vim && beside "vim" vim "" '
	printf "one\ntwo\n" >file; for copy in yes no auto; do
		vim -Es -u NONE -c "set backup backupcopy=$copy backupext=.$copy nofixeol" -c "1d" -c "put =\"$copy\"" -c wq file; done'
beside "Python with shared mappings" mmap "" 'python3 -c "
import mmap, os, random
r = random.Random(7)
fd = os.open(\"map\", os.O_RDWR | os.O_CREAT, 0o644)
os.ftruncate(fd, 1 << 20)
m = mmap.mmap(fd, 1 << 20)
for i in range(200):
    at = r.randrange(len(m) - 5000)
    m[at:at + 5000] = r.randbytes(5000)
    if i % 20 == 19:
        m.flush()
        m.resize(len(m) + 300000)
    assert os.pread(fd, 5000, at) == m[at:at + 5000]
m.move(0, 1 << 20, 70000)
m.close()
os.ftruncate(fd, 2000003)
with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as m: assert len(m) == 2000003
"'

# ---- building ----
if have make; then
	cat >"$S/makefile" <<'END'
OBJECTS = $(patsubst $(SOURCE)/base/%.c,%.o,$(wildcard $(SOURCE)/base/*.c))
all: libbase.a
	@echo made
libbase.a: $(OBJECTS)
	rm -f $@ && ar crD $@ $^
%.o: base/%.c
	gcc -std=gnu17 -D_GNU_SOURCE -DPFS_MAY_USE_BASE -O0 -g0 -I. -Iinclude -c -o $@ $<
END
	export MAKEFILE="$S/makefile"
	beside "gcc and make -j2, twice" make "" '
		cp -r "$PROJECT/src/base" "$PROJECT/include" .; export SOURCE=.; make -j2 -f "$MAKEFILE" >/dev/null
		make -f "$MAKEFILE" >out; test "$(cat out)" = made
		touch base/buf.c; make -f "$MAKEFILE" >out; test "$(grep -c ^gcc out)" = 1; rm out'
	beside "a clock of files that make trusts" stamps "" '
		printf "%s\n" "b: a" "	cp a b" >Makefile; for i in 1 2 3 4 5 6 7 8; do sleep 0.02; echo $i >a; make -s; test "$(cat b)" = $i; done'
fi
if have git; then
	beside "git: init, add, commit, gc, clone, fsck, repack, worktree" git "" '
		export GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x
		export GIT_AUTHOR_DATE="1577836800 +0000" GIT_COMMITTER_DATE="1577836800 +0000"
		git init -q -b main one; cd one; git config gc.auto 0; git config pack.threads 1
		cp -r "$PROJECT/src/base" "$PROJECT/tests/story" .; ln -s base/buf.c link
		git add -A; git commit -qm first; git checkout -q -b side; git mv base moved; sed -i s/pfs/xyz/ moved/*.c
		git commit -qam second; git checkout -q main; git rm -qr story; git commit -qm third; git merge -q side -m merged
		git worktree add -q ../tree side; git gc -q; git repack -adq; git fsck --full --strict; cd ..
		git clone -q --no-hardlinks one two; git clone -q one three; git -C two fsck; git -C tree status --porcelain >out; test ! -s out
		git -C three checkout -q origin/side; git -C one worktree remove tree
		git -C two log --format=%H%T >log; git -C one status --porcelain >out; test ! -s out
		rm -rf one/.git two/.git three/.git'
fi

first=$(commit "what programs left")
claim "the commit has all of it" alike "$DISK" "$MNT/r/$first"
claim "... with the times of copies" alike "$DISK/cp" "$MNT/r/$first/cp" %T@
claim "... and attributes" noted "$MNT/r/$first/tar/x/random"
claim "rsync of the commit" rsync -aHX "$MNT/r/$first/cp/x/" "$S/again"
claim "... is the same" alike "$IN" "$S/again" %T@
claim "a commit is the source of a build" sh -c "cmp '$MNT/r/$first/make/libbase.a' '$DISK/make/libbase.a'"

# ---- databases ----
if have sqlite3; then
	mkdir "$B/sqlite"
	claim "SQLite with a write-ahead log" sqlite3 "$B/sqlite/db" 'pragma journal_mode=wal; create table t(w, n, x);'
	sqlite_writer() {
		i=0
		while [ $i -lt 60 ]; do
			sqlite3 -cmd '.timeout 20000' "$B/sqlite/db" "insert into t values($1, $i, randomblob(3000)); update t set x = x where n = $i;" || return 1
			i=$((i + 1))
		done
	}
	sqlite_writer 1 >"$S/sqlite.1" 2>&1 & one=$!
	sqlite_writer 2 >"$S/sqlite.2" 2>&1 & two=$!
	while kill -0 $one 2>/dev/null; do commit "SQLite at work" >/dev/null; sleep 0.1; done
	claim "two writers while the branch is committed" wait $one
	claim "... both of them" wait $two
	same "all rows are there, each once" "60 60 120" "$(sqlite3 "$B/sqlite/db" "select sum(w = 1) || ' ' || sum(w = 2) || ' ' || count(distinct w * 1000 + n) from t")"
	second=$(commit "SQLite at rest")
	claim "a copy of the commit" cp -r "$MNT/r/$second/sqlite" "$DISK"
	same "... is whole" "ok 120" "$(sqlite3 "$DISK/sqlite/db" 'pragma integrity_check; select count(*) from t' | xargs)"
	same "the database is read from the commit itself" 120 "$(sqlite3 "file:$MNT/r/$second/sqlite/db?immutable=1" 'select count(*) from t')"
fi

PG=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)
[ "$PG" ] || PG=$(dirname "$(command -v postgres 2>/dev/null || echo /nowhere/x)")
as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/nonexistent PGHOST="$S/pgsock" PGPORT=5432 PGUSER=nobody PGDATABASE=postgres "$@"; }
# pg_start FOLDER; PG_PID is its first process.
pg_start() {
	as_nobody "$PG/pg_ctl" -D "$1" -w -t 60 -l "$S/pgsock/log" \
		-o "-k $S/pgsock -c listen_addresses='' -c shared_buffers=8MB -c checkpoint_timeout=30s -c max_wal_size=64MB" start || { tail -n 30 "$S/pgsock/log"; return 1; }
	PG_PID=$(head -n 1 "$1/postmaster.pid")
}
pg_stop() { as_nobody "$PG/pg_ctl" -D "$1" -w -m fast stop; }
sql() { as_nobody psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
# Moves money between accounts, and notes what was acknowledged.
pg_writer() {
	i=0
	while [ ! -e "$S/pgsock/enough" ]; do
		i=$((i + 1))
		sql -c "begin; update account set n = n - $i where id = $((i * 7 % 500)); update account set n = n + $i where id = $((i * 13 % 500));
			insert into ledger values ($1, $i, repeat(md5('$i'), 40)); commit" >/dev/null 2>&1 || return
		echo $i >"$S/acked.$1.new" && mv "$S/acked.$1.new" "$S/acked.$1"
	done
}
# pg_judge TEXT LEAST LEAST: what was acknowledged is there, and no money is lost.
pg_judge() {
	same "$1: no money is lost" 0 "$(sql -c 'select sum(n) from account')"
	same "... what was acknowledged is there, without gaps" "t t" "$(sql -c "select count(*) = max(i) and count(*) >= case w when 1 then $2 else $3 end from ledger group by w order by w" | xargs)"
	claim "... every table can be read" sql -c "select count(*), sum(length(x)) from ledger" -c "reindex table ledger" -c "vacuum full account"
}
postgres() {
	install -d -o 65534 -g 65534 "$S/pgsock" "$B/pg"
	claim "PostgreSQL: initdb by another user" as_nobody "$PG/initdb" -D "$B/pg" -U nobody -A trust --no-instructions
	claim "... starts" pg_start "$B/pg"
	claim "... has tables" sql -c "create table account(id int primary key, n bigint); insert into account select i, 0 from generate_series(0, 499) i;
		create table ledger(w int, i int, x text, primary key (w, i))"
	echo 0 >"$S/acked.1" && echo 0 >"$S/acked.2"
	pg_writer 1 & one=$!
	pg_writer 2 & two=$!
	sleep 0.5
	commit "PostgreSQL at work" >/dev/null
	sql -c checkpoint || broken "a checkpoint"
	sleep 0.5
	kill -KILL "$PG_PID"
	wait $one $two
	wait_for 20 sh -c "! pgrep -s $PG_PID && ! fuser -s '$B/pg/postmaster.pid'"
	rm -f "$B/pg/postmaster.pid"
	claim "it recovers from kill -9" pg_start "$B/pg"
	pg_judge "after kill -9" "$(cat "$S/acked.1")" "$(cat "$S/acked.2")"
	# As its manual has it for a copy that is not made at one moment.
	sql -c "truncate ledger"
	echo 0 >"$S/acked.1" && echo 0 >"$S/acked.2"
	pg_writer 1 & one=$!
	pg_writer 2 & two=$!
	sleep 0.3
	sql -c "checkpoint" -c "alter system set wal_keep_size = '256MB'" -c "select pg_reload_conf()" >/dev/null
	mkfifo "$S/backup"
	sql <"$S/backup" >>"$S/label" 2>"$S/backup.log" & backup=$!
	exec 6>"$S/backup"
	echo "select pg_backup_start('commit', true) is null;" >&6
	wait_for 30 grep -q f "$S/label" || broken "a backup starts: $(cat "$S/backup.log")"
	: >"$S/label"
	least=$(cat "$S/acked.1") least2=$(cat "$S/acked.2")
	third=$(commit "PostgreSQL at work, told of it")
	echo "select labelfile from pg_backup_stop(false);" >&6
	exec 6>&-
	wait $backup
	fourth=$(commit "the rest of its log")
	: >"$S/pgsock/enough"
	wait $one $two
	claim "it ends" pg_stop "$B/pg"
	cp -a "$MNT/r/$third/pg" "$DISK/pg" && rm -rf "$DISK/pg/pg_wal" "$DISK/pg/postmaster.pid" && cp -a "$MNT/r/$fourth/pg/pg_wal" "$DISK/pg" || broken "a copy of the commit"
	grep . "$S/label" >"$DISK/pg/backup_label" && chown 65534:65534 "$DISK/pg/backup_label"
	claim "a second server starts on the commit" pg_start "$DISK/pg"
	pg_judge "on the commit" "$least" "$least2"
	claim "it ends, too" pg_stop "$DISK/pg"
	# With nobody at work a commit is a copy at one moment, server or no server.
	claim "the first one starts again" pg_start "$B/pg"
	sql -c checkpoint
	fifth=$(commit "PostgreSQL at rest")
	pg_stop "$B/pg" >/dev/null
	rm -rf "$DISK/pg" && cp -a "$MNT/r/$fifth/pg" "$DISK/pg" && rm "$DISK/pg/postmaster.pid" || broken "a copy of the commit"
	claim "a server starts on a commit of one at rest" pg_start "$DISK/pg"
	pg_judge "on that commit" "$(cat "$S/acked.1")" "$(cat "$S/acked.2")"
	claim "it ends as well" pg_stop "$DISK/pg"
}
if [ -x "$PG/initdb" ] && have psql setpriv pgrep fuser; then postgres; else echo "skipped: needs PostgreSQL"; fi

cd "$S" || exit 1
claim "pfsd ends" stop_pfsd
claim "a full fsck finds nothing" "$PFS" fsck --data "$DATA" --level full
finish
