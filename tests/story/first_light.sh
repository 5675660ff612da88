#!/bin/sh
# The whole way as a newcomer would walk it: files into a branch with cp, a
# word-count Pachfile by curl, a commit through the control file, the result
# under the same id. Every count is compared with one that coreutils made
# outside pfs. Then one file changes, and only that change shows.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_command diff
start_pfsd
start_runner

texts=/usr/share/common-licenses
mkdir -p "$S/text"
cp -rL $texts/. "$S/text/"

# count FOLDER: "count word" lines, by coreutils alone.
count() { cat "$1"/* | tr -cs 'A-Za-z' '\n' | tr A-Z a-z | grep . | LC_ALL=C sort | uniq -c | awk '{ print $1, $2 }' | LC_ALL=C sort; }
normalized() { awk '{ print $1, $2 }' "$1" | LC_ALL=C sort; }

claim "mkdir makes a repo" mkdir "$MNT/data"
claim "mkdir makes a branch" mkdir "$MNT/data/master"
claim "cp -r copies a folder in" cp -rL $texts "$MNT/data/master/text"
claim "what was copied reads back before any commit" diff -r "$S/text" "$MNT/data/master/text"

cat >"$S/wordcount.Pachfile" <<'EOF'
# How often does each word occur?
image busybox

input text

run cat /in/text/* | tr -cs 'A-Za-z' '\n' | \
    tr A-Z a-z | grep . > /out/words
run sort /out/words | uniq -c > /out/counts
EOF
claim "a Pachfile is posted with curl" curl -sS -f -XPOST "http://$H/pipeline/wordcount" -T "$S/wordcount.Pachfile"
claim "the Pachfile comes back byte for byte" sh -c "curl -sS -f 'http://$H/pipeline/wordcount' | cmp - '$S/wordcount.Pachfile'"

claim "writing a message into .pfs/commit commits" sh -c "echo 'first texts' > '$MNT/data/master/.pfs/commit'"
first=$(cat "$MNT/data/master/.pfs/commit")
same "the commit's id is a UUID without dashes" 32 "$(printf %s "$first" | tr -d '\n' | wc -c)"
same ".pfs/head names the commit" "$first" "$(cat "$MNT/data/master/.pfs/head")"
claim ".pfs/log has the message" grep -q 'first texts' "$MNT/data/master/.pfs/log"
same ".pfs/status is empty after a commit" "" "$(cat "$MNT/data/master/.pfs/status")"
claim "the commit is readable by its id" diff -r "$S/text" "$MNT/data/$first/text"
refuse "the commit cannot be written" sh -c "echo x > '$MNT/data/$first/text/GPL-3'"

claim "the pipeline's result appears under the same id" wait_for 60 test -f "$MNT/wordcount/$first/counts"
count "$S/text" >"$S/want.1"
normalized "$MNT/wordcount/$first/counts" >"$S/got.1"
claim "every count is the one coreutils makes" cmp "$S/want.1" "$S/got.1"
claim "there are counts at all" test "$(wc -l <"$S/want.1")" -gt 1000
claim "curl reads the newest output" sh -c "curl -sS -f 'http://$H/pipeline/wordcount/file/counts' | cmp - '$MNT/wordcount/$first/counts'"
claim "curl reads the output of the commit" sh -c "curl -sS -f 'http://$H/pipeline/wordcount/file/counts?commit=$first' | cmp - '$MNT/wordcount/$first/counts'"
claim "the result knows what it was made from" grep -q "data.*$first" "$MNT/wordcount/$first/.pfs/provenance"
claim "the pipeline's branch shows the result" cmp "$MNT/wordcount/master/counts" "$MNT/wordcount/$first/counts"
refuse "nobody else writes the pipeline's branch" sh -c "echo x > '$MNT/wordcount/master/counts'"

cp "$MNT/wordcount/$first/counts" "$S/counts.1"
echo "one wholly unheardof word" >>"$S/text/BSD"
claim "one file changes" cp "$S/text/BSD" "$MNT/data/master/text/BSD"
same ".pfs/status names just that file" "M text/BSD" "$(grep -v '/$' "$MNT/data/master/.pfs/status" | head -5)"
claim "the change is committed" sh -c "echo 'one word more' > '$MNT/data/master/.pfs/commit'"
second=$(cat "$MNT/data/master/.pfs/commit")
claim "the second id is another one" test "$first" != "$second"
claim "the second result appears" wait_for 60 test -f "$MNT/wordcount/$second/counts"
count "$S/text" >"$S/want.2"
normalized "$MNT/wordcount/$second/counts" >"$S/got.2"
claim "every new count is the one coreutils makes" cmp "$S/want.2" "$S/got.2"
refuse "the counts did change" cmp "$S/want.1" "$S/want.2"
claim "the old result still reads the same bytes" cmp "$S/counts.1" "$MNT/wordcount/$first/counts"
claim "the old input still reads the same bytes" cmp "$MNT/data/$first/text/BSD" $texts/BSD
diff -rq "$MNT/data/$first" "$MNT/data/$second" >"$S/diff"
same "diff -r between the commits shows only that change" \
	"Files $MNT/data/$first/text/BSD and $MNT/data/$second/text/BSD differ" "$(cat "$S/diff")"
claim "master^ is the first commit" diff -r "$MNT/data/master^" "$MNT/data/$first"
claim "a unique prefix is enough" diff -r "$MNT/data/$(echo "$first" | cut -c1-12)" "$MNT/data/$first"

# A failing line fails the job, and its log is kept.
printf 'image busybox\ninput text\nrun echo before it breaks; exit 3\n' >"$S/broken.Pachfile"
claim "a pipeline that fails is recorded" curl -sS -f -XPOST "http://$H/pipeline/broken" -T "$S/broken.Pachfile"
third=$(curl -sS -f -XPOST "http://$H/commit?branch=master")
refuse "waiting for the commit set tells that a job failed" "$PFS" --socket "$SOCK" wait commit "data@$third"
claim "the log of the failed job is kept" "$PFS" --socket "$SOCK" logs "broken@$third"
says "the log has what the line wrote" "before it breaks"
claim "the job says why it failed" "$PFS" --socket "$SOCK" inspect job "broken@$third"
says "the reason has the exit status" "status 3"
same "reading the failed output is an error" 500 "$(curl -s -o "$S/out" -w '%{http_code}' "http://$H/pipeline/broken/file/x?commit=$third")"
refuse "a failed job leaves no output commit to mistake for one" test -e "$MNT/broken/$third/x"
claim "the other pipeline ran all the same" wait_for 60 test -f "$MNT/wordcount/$third/counts"

# Two pipelines of one commit have its id both, and run at the same time.
for twin in left right; do
	printf 'image busybox\ninput text\nrun sleep 1; echo %s > /out/said\n' $twin >"$S/twin.Pachfile"
	claim "pipeline $twin is recorded" curl -sS -f -XPOST "http://$H/pipeline/$twin" -T "$S/twin.Pachfile"
done
fourth=$(curl -sS -f -XPOST "http://$H/commit?branch=master")
for twin in left right; do
	claim "pipeline $twin ran beside its twin" wait_for 60 grep -qx $twin "$MNT/$twin/$fourth/said"
done

claim "pfsd ends cleanly" stop_pfsd
refuse "and is unmounted" mountpoint -q "$MNT"
start_pfsd
claim "after a restart everything is there" cmp "$S/counts.1" "$MNT/wordcount/$first/counts"
finish
