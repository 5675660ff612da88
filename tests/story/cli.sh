#!/bin/sh
# Every command of pfs, against a real pfsd.
. "$(dirname "$0")/lib.sh"
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

# ---- without pfsd
exits "without pfsd there is a status of its own" 12 pfs list repo
says "and what to do" "pfsd does not answer on $SOCK: start it with pfsd --data DIR --mount DIR --socket $SOCK"
claim "help needs no pfsd" pfs --help
says "and lists the commands" "create repo"
claim "each command has its help" pfs put file --help
says "with its options" "--recursive"
exits "an unknown command" 2 pfs frobnicate
exits "a verb without its noun" 2 pfs create
says "is told the nouns" "repo, branch, pipeline"
exits "an unknown option" 2 pfs list repo --nope
exits "a missing word" 2 pfs create repo
exits "a server without a scheme" 2 pfs list repo --server 127.0.0.1:6500
says "is told how a URL looks" "http://127.0.0.1:6500"
claim "--version" pfs --version

start_pfsd --no-mount

# ---- repos
claim "create repo" pfs create repo books
exits "not twice" 4 pfs create repo books
exits "not with a name that is none" 2 pfs create repo a/b
claim "list repo" pfs list repo
says "has a title" "NAME"
says "and the repo" "books"
claim "list repo --raw is JSON" sh -c "'$PFS' list repo --raw | python3 -c 'import json,sys; [json.loads(l) for l in sys.stdin]'"
claim "inspect repo" pfs inspect repo books
says "names it" "Name: books"
exits "an unknown repo" 3 pfs inspect repo nope
says "is named" "nope"

# ---- branches and files
claim "create branch" pfs create branch books@master
printf 'hello\n' >hello
mkdir -p tree/sub
printf 'one\n' >tree/one
printf 'two\n' >tree/sub/two
printf '\377\n' >"tree/$(printf 'na\303\257ve\377')"
ln -s one tree/link
claim "put file with its own name" pfs put file books@master -f hello
same "get file" hello "$(pfs get file books@master:/hello)"
claim "put file with another" pfs put file books@master:/dir/other -f hello
same "is that" hello "$(pfs get file books@master:/dir/other)"
claim "put file into a folder" pfs put file books@master:/folder/ -f hello
same "is there" hello "$(pfs get file books@master:/folder/hello)"
claim "put file of standard input" sh -c "echo piped | '$PFS' put file books@master:/piped"
same "is what came" piped "$(pfs get file books@master:piped)"
exits "which needs a name" 2 sh -c "echo piped | '$PFS' put file books@master"
claim "put several files" pfs put file books@master:/both -f hello -f tree/one
same "puts them in a folder" one "$(pfs get file books@master:/both/one)"
exits "a directory needs -r" 15 pfs put file books@master -f tree
claim "put a directory" pfs put file books@master -r -f tree
same "with all that is in it" two "$(pfs get file books@master:/tree/sub/two)"
head -c 5000000 /dev/urandom >large
claim "put a large file" pfs put file books@master:/large -f large
claim "get a large file" pfs get file books@master:/large -o got
claim "is the same" cmp large got
claim "get a directory" pfs get file books@master:/tree -r -o copy
claim "with all that is in it, whatever the names are" sh -c "rm tree/link copy/link && diff -r tree copy"
claim "get by pattern" sh -c "'$PFS' get file 'books@master:/tree/[o]*' | cmp - tree/one"
exits "a missing file" 3 pfs get file books@master:/nope -o nope
claim "leaves nothing behind" sh -c "! ls '$S' | grep nope"
claim "list file" pfs list file books@master
says "marks directories" "/tree/"
claim "list file -r" pfs list file books@master:/tree -r
says "goes down" "/tree/sub/two"
claim "delete file" pfs delete file books@master:/hello
exits "is gone" 3 pfs get file books@master:/hello
exits "a directory that is not empty needs -r" 16 pfs delete file books@master:/both
claim "and goes with it" pfs delete file books@master:/both -r
claim "status" pfs status books@master
says "tells what is new" "/tree/sub/two"

# ---- commits
C1=$(pfs commit books@master -m "first of all")
claim "commit answers its id" sh -c "echo $C1 | grep -qE '^[0-9a-f]{32}\$'"
same "then nothing is left to commit" "OP  SIZE  NAME" "$(pfs status books@master)"
pfs put file books@master:/dir/other -f tree/one
C2=$(pfs finish commit books@master)
same "an old commit is read" hello "$(pfs get file books@$C1:/dir/other)"
same "the parent is read" hello "$(pfs get file 'books@master^:/dir/other')"
same "~ is ^" hello "$(pfs get file 'books@master~1:/dir/other')"
exits "a commit is not written" 18 pfs put file books@$C1:/x -f hello
claim "list commit of a repo" pfs list commit books
says "has the message" "first of all"
same "list commit of a revision and its past" 2 "$(pfs list commit books@master --raw | wc -l)"
same "who reads no further hears nothing" "" "$({ pfs get file books@master:/large | head -c 1 >/dev/null; } 2>&1)"
same "nor by a list" "" "$({ { sleep 0.3; pfs list commit books; } | true; } 2>&1)"
same "nor by one of objects" "" "$({ { sleep 0.3; pfs list commit books --raw; } | true; } 2>&1)"
same "list commit -n" 1 "$(pfs list commit books@master -n 1 --raw | wc -l)"
claim "list commit of an id" pfs list commit $C1
says "is the commit" "$C1"
claim "inspect commit" pfs inspect commit books@master
says "has its parent" "Parent: $C1"
claim "wait commit" pfs wait commit books@master
claim "diff file with the parent" pfs diff file books@master
says "tells what changed" "M"
says "and where" "/dir/other"
claim "diff file of two" pfs diff file books@$C1 books@$C2
exits "diff file of two repos" 10 pfs diff file books@$C1 data@master

# ---- branches again
claim "a branch from a commit" pfs create branch books@old --head $C1
same "has its files" hello "$(pfs get file books@old:/dir/other)"
claim "a branch is renamed" pfs rename branch books@old ancient
claim "list branch" pfs list branch books
says "has the new name" "ancient"
exits "a branch that exists" 4 pfs create branch books@ancient
says "and how it goes" "pfs delete branch books@ancient --force"
claim "delete branch" pfs delete branch books@ancient
exits "is gone" 3 pfs list file books@ancient

# ---- pipelines and jobs
printf 'image busybox\ninput tree\nrun cat /in/tree/one > /out/copy\n' >copy.Pachfile
claim "create pipeline" pfs create pipeline copy -f copy.Pachfile --repo books --branch master
same "says nothing when all is there" "" "$(cat "$S/claim.out")"
claim "a pipeline may wait for a branch" pfs create pipeline later -f copy.Pachfile --repo books --branch to-come
says "which is said" "books has no branch to-come yet"
claim "and be deleted" pfs delete pipeline later
claim "with its repo" pfs delete repo later --force
claim "create pipeline of standard input" sh -c "'$PFS' create pipeline copy2 -f - --repo books <copy.Pachfile"
exits "a Pachfile that is none" 2 sh -c "echo imago x | '$PFS' create pipeline bad -f - --repo books"
says "is refused with its line" "line 1"
claim "update pipeline" pfs update pipeline copy -f copy.Pachfile --repo books
claim "update pipeline, where it is not said" pfs update pipeline copy -f copy.Pachfile
same "leaves it where it was" "Repo: books" "$(pfs inspect pipeline copy | grep '^Repo')"
claim "list pipeline" pfs list pipeline
says "has both" "copy2"
claim "inspect pipeline" pfs inspect pipeline copy
says "has its version" "Version: 3"
C3=$(pfs commit books@master)
claim "list job" pfs list job
says "has the job" "$C3"
same "list job -p" 1 "$(pfs list job -p copy --raw | wc -l)"
claim "inspect job" pfs inspect job copy@$C3
says "has its state" "State: created"
says "and why it does not begin" "no runner has asked for work: pfs-runner(8)"
refuse "waiting for it" timeout 2 "$PFS" wait job copy@$C3
says "tells that, and waits on" "job copy@$C3 waits: no runner"
refuse "waiting for its commit" timeout 2 "$PFS" wait commit $C3
says "tells it too" "@$C3 waits: no runner"
curl -s --unix-socket "$SOCK" http://localhost/runner/claim -d '{}' >/dev/null
same "once a runner has asked there is nothing to say" "Reason: -" "$(pfs inspect job copy@$C3 | grep '^Reason' || echo 'Reason: -')"
claim "logs of a job that did not start are empty" test -z "$(pfs logs copy@$C3)"
claim "stop job" pfs stop job copy@$C3
exits "wait job fails with the job" 1 pfs wait job copy@$C3
says "and says how it ended" "killed"
claim "stop the other job" pfs stop job copy2@$C3
exits "wait commit fails with a job of it" 1 pfs wait commit $C3
says "and names it" "@$C3: killed"
claim "logs -p -j" pfs logs -p copy -j $C3
claim "logs -f ends with the job" pfs logs -f -p copy
exits "an unknown job" 3 pfs inspect job copy@$C1
claim "delete pipeline" pfs delete pipeline copy
claim "delete pipeline" pfs delete pipeline copy2
exits "is gone" 3 pfs inspect pipeline copy

# ---- the rest
claim "version" pfs version
says "of both" "pfsd"
claim "stats" pfs stats
says "has the requests" "Requests:"
says "and the store" "pack bytes:"
same "with exact figures" "$(pfs list repo --raw | wc -l)" "$(pfs stats --raw | python3 -c 'import json,sys; v = json.load(sys.stdin); print(v["names"]["repos"])')"
same "of the disk too" "$(find "$DATA/store/packs" "$DATA/store/open" -name '*.pk' -printf '%s\n' | awk '{ n += $1 } END { print n }')" \
	"$(pfs stats --raw | python3 -c 'import json,sys; v = json.load(sys.stdin); print(v["store"]["pack_bytes"])')"
claim "gc" pfs gc
says "tells what lives" "alive"
claim "gc --dry-run" pfs gc --dry-run
says "changes nothing" "nothing was changed"
claim "gc --raw is JSON" sh -c "'$PFS' gc --raw | python3 -c 'import json,sys; json.load(sys.stdin)[\"live_bytes\"]'"
claim "gc --would-free of a repo" pfs gc --would-free books
claim "and of a branch" pfs gc --would-free books@master
exits "of an unknown repo" 3 pfs gc --would-free nope
exits "of a path" 2 pfs gc --would-free books@master:/x
claim "fsck" pfs fsck --level full
says "finds nothing, and how closely it looked" "clean (full: every byte read): "
claim "fsck --raw is JSON" sh -c "'$PFS' fsck --raw | python3 -c 'import json,sys; assert json.load(sys.stdin)[\"kind\"] == \"report\"'"
exits "fsck of an unknown level" 2 pfs fsck --level half
says "names the levels" "quick, reach and full"
unset PFS_SERVER
claim "--server speaks TCP" pfs --server "http://$H" list repo
claim "--socket names the socket" pfs list repo --socket "$SOCK"
exits "a repo with commits is not deleted" 16 pfs --socket "$SOCK" delete repo books
says "and the way is told" "--force"
claim "but by force" pfs --socket "$SOCK" delete repo books --force
exits "and is gone" 3 pfs --socket "$SOCK" list branch books
finish
