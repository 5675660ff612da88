#!/bin/sh
# pfsd by curl: every documented line, the errors, and what bad clients do.
. "$(dirname "$0")/lib.sh"
need_command curl
need_command python3

start_pfsd --no-mount
cd "$S" || exit 1
printf 'hello\n' >hello
printf 'one\n' >one
printf 'two\n' >two
: >empty

# status TEXT STATUS CURL-ARGUMENTS...: what the server answers; the body is in $S/body.
status() {
	status_text=$1
	status_want=$2
	shift 2
	same "$status_text" "$status_want" "$(curl -s -g -o "$S/body" -w '%{http_code}' -D "$S/head" "$@")"
}
body_has() { grep -qF -- "$2" "$S/body" || { cat "$S/body"; broken "$1 (wanted: $2)"; }; claims=$((claims + 1)); echo "ok - $1"; }
head_has() { tr -d '\r' <"$S/head" | grep -qixF -- "$2" || { cat "$S/head"; broken "$1 (wanted: $2)"; }; claims=$((claims + 1)); echo "ok - $1"; }

# ---- the documented lines: files, commits, branches
same "a new server lists no commits" "" "$(curl -s -XGET $H/commit)"
same "a new server lists no branches" "" "$(curl -s -XGET $H/branch)"
same "a file is written to a branch" "Created dir/one, size: 4." "$(curl -s -XPOST "$H/file/dir/one?branch=master" -T one)"
same "it is read" "one" "$(curl -s $H/file/dir/one)"
curl -s -XPOST "$H/file/dir/two?branch=master" -T two >/dev/null
curl -s -XPUT "$H/file/dir/sub/three" -T hello >/dev/null
same "PUT writes too" "hello" "$(curl -s $H/file/dir/sub/three)"
same "all files of a directory, one after the other, no sub-directories" "one
two" "$(curl -s "$H/file/dir/*")"
C1=$(curl -s -XPOST "$H/commit?branch=master")
claim "a commit answers its id" sh -c "echo $C1 | grep -qE '^[0-9a-f]{32}\$'"
curl -s -XPOST "$H/file/dir/one" -T hello >/dev/null
same "it is read as of a commit" "one" "$(curl -s "$H/file/dir/one?commit=$C1")"
same "the branch has the new bytes" "hello" "$(curl -s "$H/file/dir/one")"
same "a file is deleted" "Deleted dir/two." "$(curl -s -XDELETE "$H/file/dir/two?branch=master")"
status "and is gone" 404 $H/file/dir/two
same "but not from the commit" "two" "$(curl -s "$H/file/dir/two?commit=$C1")"
C2=$(curl -s -XPOST "$H/commit?branch=master&message=second")
same "commits are listed newest first" "$C2
$C1" "$(curl -s -XGET $H/commit | python3 -c 'import json,sys
for l in sys.stdin: print(json.loads(l)["name"])')"
claim "a listed commit has its time, RFC 3339 with microseconds" sh -c "curl -s $H/commit | grep -qE '\"tstamp\":\"[0-9-]+T[0-9:]+\\.[0-9]{6}\\+00:00\"'"
same "a branch is made from a commit" "Created branch. ($C1) -> exp." "$(curl -s -XPOST "$H/branch?commit=$C1&branch=exp")"
same "branches are listed" "exp
master" "$(curl -s -XGET $H/branch | python3 -c 'import json,sys
for l in sys.stdin: print(json.loads(l)["name"])')"
same "a branch name stands for a commit" "one" "$(curl -s "$H/file/dir/one?commit=exp")"
same "a commit takes the id it is given" 0123456789abcdef0123456789abcdef "$(curl -s -XPOST "$H/commit?branch=exp&commit=01234567-89ab-cdef-0123-456789abcdef")"
status "and not twice" 409 -XPOST "$H/commit?branch=exp&commit=0123456789abcdef0123456789abcdef"

# ---- who is let in where
refuse "a port that is taken" "$PFSD" --data "$S/d2" --no-mount --listen "$H" --socket "$S/s2"
says "is named" "choose another with --listen"
refuse "leaves no new data folder behind" test -e "$S/d2"
refuse "an address that others can reach" "$PFSD" --data "$S/d2" --no-mount --listen 0.0.0.0:0 --socket "$S/s2"
says "is refused, with a way out" "ssh -L"
"$PFSD" --data "$S/d2" --no-mount --listen none --socket "$S/s2" 2>"$S/log2" &
quiet=$!
claim "no port at all" wait_for 20 grep -q "listen=- " "$S/log2"
claim "the socket answers" curl -sf --unix-socket "$S/s2" http://localhost/ping
same "nothing else is listened on" "" "$(find /proc/$quiet/fd -lname 'socket:*' -printf '%l\n' | tr -dc '0-9\n' | while read -r n; do awk -v n="$n" '$10 == n { print $2 }' /proc/net/tcp /proc/net/tcp6; done)"
kill $quiet
wait $quiet

# ---- globs, framing, ranges
same "one match is its bytes" "hello" "$(curl -s "$H/file/d%3Fr/%5Ba-o%5Dne")"
status "no match is not there" 404 "$H/file/dir/zz*"
status "a pattern that is not closed is refused" 400 -g "$H/file/dir/[a"
status "a form of several files" 200 -H 'Accept: multipart/form-data' "$H/file/dir/*?commit=$C1"
claim "a form is read by others" python3 - "$S" <<'PY'
import email, sys
d = sys.argv[1]
head = open(d + "/head", newline="").read().split("\r\n", 1)[1]
m = email.message_from_string(head.split("\r\n\r\n")[0] + "\r\n\r\n" + open(d + "/body", newline="").read())
parts = {p.get_param("filename", header="content-disposition"): p.get_payload() for p in m.get_payload()}
assert {k: v.strip() for k, v in parts.items()} == {"dir/one": "one", "dir/two": "two"}, parts
assert m["Boundary"] == m.get_boundary()
PY
curl -s -XPOST "$H/file/digits" --data-binary 0123456789 >/dev/null
status "a range" 206 -r 2-4 $H/file/digits
same "has its bytes" 234 "$(cat body)"
head_has "and says which" "Content-Range: bytes 2-4/10"
same "the last bytes" 89 "$(curl -s -r -2 $H/file/digits)"
status "a range behind the end" 416 -r 10- $H/file/digits
status "HEAD answers without a body" 200 -I $H/file/digits
head_has "but with the length" "Content-Length: 10"
curl -s -XPOST $H/file/nothing -T empty >/dev/null
status "an empty file" 200 $H/file/nothing
same "has no bytes" "" "$(cat body)"
curl -s -g -XPOST "$H/file/a[1].txt" -T hello >/dev/null
same "a name that looks like a pattern is found" hello "$(curl -s -g "$H/file/a[1].txt")"
curl -s -XPOST "$H/file/sp%20ace%2520" -T hello >/dev/null
claim "names are decoded once" sh -c "curl -s '$H/file/?list' | grep -q '\"sp ace%20\"'"

# ---- errors: status, X-Pfs-Error, a text that names the thing
status "a file that is not there" 404 $H/file/none
body_has "is named" 'no file "none" in data@master'
head_has "and has a code" "X-Pfs-Error: notfound"
status "the same as JSON" 404 -H 'Accept: application/json' $H/file/none
body_has "has the code in it" '"error":"notfound"'
status "an unknown repo" 404 "$H/file/x?repo=nope"
body_has "is named" '"nope"'
status "an unknown branch" 404 -XPOST "$H/file/x?branch=nope" -T one
body_has "is named" '"nope"'
status "a directory" 409 $H/file/dir
body_has "tells how it is read" '"/dir/*"'
status "writing over a directory" 409 -XPOST $H/file/dir -T one
status "a file in the way of a directory" 409 -XPOST $H/file/digits/x -T one
status "writing into a commit" 403 -XPOST "$H/file/x?branch=$C1" -T one
status "deleting from a commit" 403 -XDELETE "$H/file/dir/one?branch=$C1"
status "deleting a directory that is not empty" 409 -XDELETE $H/file/dir
status "a branch that exists" 409 -XPOST "$H/branch?commit=$C1&branch=exp"
body_has "says what to do" "choose another name"
status "an id that is none" 400 -XPOST "$H/commit?commit=foo"
status "a path that leads out" 400 --path-as-is $H/file/../etc/passwd
status "escaped, too" 400 --path-as-is $H/file/%2e%2e/etc/passwd
status "a NUL in a name" 400 $H/file/a%00b
status "an escape that is none" 400 $H/file/a%zz
status "an unknown route" 404 $H/nope
status "a method that is not taken" 405 -XPATCH $H/file/x
head_has "says which are" "Allow: GET, HEAD, POST, PUT, DELETE"
status "a Pachfile with an unknown word" 400 -XPOST $H/pipeline/bad --data-binary 'imago x'
status "a MapReduce job" 501 -XPOST $H/job/x -T one
status "a pipeline that is not there" 404 "$H/pipeline/none/file/*"
status "a number that is none" 400 "$H/commit?n=many"
status "a web page from elsewhere" 403 -H 'Origin: http://evil.example' $H/commit
status "a name from elsewhere" 403 -H 'Host: evil.example' $H/commit
status "our own page" 200 -H "Origin: http://$H" $H/commit
status "a runner by TCP" 403 -XPOST $H/runner/claim -d '{"runner":"r"}'
status "a runner without a mount" 503 --unix-socket "$SOCK" http://x/runner/claim -d '{"runner":"r"}'
body_has "is told why" "--no-mount"
{ printf 'X: '; head -c 200000 /dev/zero | tr '\0' x; } >long
status "a header past the limit" 431 -H @long $H/ping
status "after all that it answers" 200 $H/ping

# ---- pipelines, as far as they go without a runner
printf 'image busybox\ninput dir\nrun cat /in/dir/one > /out/copy\n' >copy.Pachfile
same "a Pachfile is recorded" "Created pipeline/copy, size: $(wc -c <copy.Pachfile)." "$(curl -s -XPOST $H/pipeline/copy -T copy.Pachfile)"
claim "and comes back" sh -c "curl -s -XGET $H/pipeline/copy | cmp - copy.Pachfile"
status "before its first commit it has no output" 404 "$H/pipeline/copy/file/*"
C3=$(curl -s -XPOST $H/commit)
status "then one waits, as long as one likes" 504 "$H/pipeline/copy/file/*?commit=$C3&timeout=1"
status "a stopped job" 200 -XDELETE $H/job/copy/$C3
status "is a failure for who wants its output" 500 "$H/pipeline/copy/file/*?commit=$C3"
body_has "and is named" "copy@$C3"
status "the pipeline is deleted" 200 -XDELETE $H/pipeline/copy
status "and is gone" 404 $H/pipeline/copy

# ---- size and number
memory() { awk '/VmHWM/ { print $2 }' /proc/$PFSD_PID/status; }
head -c 1073741824 /dev/urandom >big
same "1 GiB is written" "Created big, size: 1073741824." "$(curl -s -XPOST $H/file/big -T big)"
claim "and read" sh -c "curl -s $H/file/big | cmp - big"
# A sanitizer keeps what was freed; still far from the file's size.
grep -q __asan_init "$PFSD" && most=524288 || most=65536
claim "in bounded memory" test "$(memory)" -lt $most
claim "a pipe of unknown length is written" sh -c "head -c 3000000 big | curl -s -XPOST $H/file/piped -T - && curl -s $H/file/piped | cmp -n 3000000 - big"
rm big

claim "an upload that is cut off leaves nothing" python3 - "$PORT" <<'PY'
import socket, sys, time, urllib.request, urllib.error
port = int(sys.argv[1])
for head in ("Content-Length: 1000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\nfffff\r\n"):
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall(("POST /file/cut/deep/file HTTP/1.1\r\nHost: localhost\r\n" + head).encode() + b"x" * 500000)
    time.sleep(0.2)
    s.close()
    time.sleep(0.2)
    for path in ("cut/deep/file", "cut/deep", "cut"):
        try:
            urllib.request.urlopen("http://127.0.0.1:%d/file/%s?list" % (port, path))
            sys.exit(path + " is there")
        except urllib.error.HTTPError as e:
            assert e.code == 404, e.code
PY
claim "an upload that is cut off leaves the old file" python3 - "$PORT" <<'PY'
import socket, sys, time, urllib.request
port = int(sys.argv[1])
s = socket.create_connection(("127.0.0.1", port))
s.sendall(b"POST /file/digits HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nxxx")
time.sleep(0.2)
s.close()
time.sleep(0.2)
assert urllib.request.urlopen("http://127.0.0.1:%d/file/digits" % port).read() == b"0123456789"
PY
claim "200 clients at once are all answered" python3 - "$PORT" <<'PY'
import http.client, sys, threading
port, bad = int(sys.argv[1]), []
def client(i):
    try:
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for n in range(5):
            body = b"%d %d" % (i, n)
            c.request("POST", "/file/many/%d/%d" % (i, n), body)
            r = c.getresponse(); r.read()
            assert r.status == 200, r.status
            c.request("GET", "/file/many/%d/%d" % (i, n))
            r = c.getresponse()
            assert r.read() == body
    except Exception as e:
        bad.append(repr(e))
threads = [threading.Thread(target=client, args=(i,)) for i in range(200)]
[t.start() for t in threads]; [t.join() for t in threads]
sys.exit("\n".join(bad[:5]) if bad else 0)
PY
claim "what is no HTTP does no harm" python3 - "$PORT" <<'PY'
import os, socket, sys
port = int(sys.argv[1])
for junk in (b"\0" * 1000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", os.urandom(5000), b"POST /file/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
             b"GET /" + b"a" * 300000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"POST /file/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):
    s = socket.create_connection(("127.0.0.1", port)); s.settimeout(5)
    try:
        s.sendall(junk); s.shutdown(socket.SHUT_WR); s.recv(100)
    except OSError:
        pass
    s.close()
PY
status "and the file of a bad request is not there" 404 $H/file/x
status "after all that it answers" 200 $H/ping

# ---- the program itself
refuse "an address of other machines is refused" "$PFSD" --data "$S/d2" --no-mount --listen 0.0.0.0:0 --socket "$S/s2"
says "and says so" "other machines"
refuse "a port in use is refused" "$PFSD" --data "$S/d2" --no-mount --listen "$H" --socket "$S/s2"
says "and says so" "in use"
refuse "a socket in use is refused" "$PFSD" --data "$S/d2" --no-mount --listen 127.0.0.1:0 --socket "$SOCK"
says "and says so" "somebody answers"
refuse "a data folder in use is refused" "$PFSD" --data "$DATA" --no-mount --listen 127.0.0.1:0 --socket "$S/s2"
refuse "an unknown option is refused" "$PFSD" --nonsense
(sleep 2; curl -s "$H/event?after=100000&wait=60" >/dev/null) &
curl -s "$H/event?after=100000&wait=60" >/dev/null &
sleep 0.2
before=$(date +%s)
claim "SIGTERM ends it, whoever waits" stop_pfsd
claim "soon" test $(($(date +%s) - before)) -le 5
claim "and its socket is gone" test ! -e "$SOCK"
start_pfsd --no-mount
same "what was written is there again" 0123456789 "$(curl -s $H/file/digits)"
crash_pfsd
start_pfsd --no-mount
# A commit and a kill at once, on a branch whose workspace was never saved.
curl -s -XPOST $H/repo/quick >/dev/null
curl -s -XPOST "$H/branch?repo=quick&commit=" >/dev/null
for i in 1 2 3; do
	curl -s -XPOST "$H/file/quick$i?repo=quick" -T one >/dev/null
	curl -s -XPOST $H/file/last -T one >/dev/null
	C4=$(curl -s -XPOST $H/commit)
	curl -s -XPOST "$H/commit?repo=quick" >/dev/null
	crash_pfsd
	start_pfsd --no-mount
	same "kill -9 right after commit $i: nothing is uncommitted" "" "$(curl -s "$H/status?repo=quick")"
done
same "and every file is on the branch" 3 "$(curl -s "$H/file/?repo=quick&list" | wc -l)"
same "after kill -9 every commit is there" one "$(curl -s "$H/file/dir/one?commit=$C1")"
same "also the last one" one "$(curl -s "$H/file/last?commit=$C4")"
same "and its branch stands on it" one "$(curl -s "$H/file/last")"
finish
