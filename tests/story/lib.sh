# What every story needs: a scratch folder, daemons that end with it, and
# claims. Source it first:
#
#	. "$(dirname "$0")/lib.sh"
#	need_root; need_fuse
#	start_pfsd
#	claim "a file reads back" cmp a "$MNT/data/master/a"
#	finish
#
# PFS_BUILD is the build folder. A story that cannot run exits 77 with the
# reason; the first claim that does not hold ends it.

set -u
PFS_BUILD=${PFS_BUILD:-$(cd "$(dirname "$0")/../.." && pwd)/build}
PFSD=$PFS_BUILD/src/daemon/pfsd
PFS=$PFS_BUILD/src/cli/pfs
RUNNER=$PFS_BUILD/src/runner/pfs-runner
STORY_SOURCE=$(cd "$(dirname "$0")" && pwd)
PROJECT=$(cd "$STORY_SOURCE/../.." && pwd)

# Without a folder of its own a story would run in the root of the machine, and clean that up.
S=$(mktemp -d "${TMPDIR:-/tmp}/pfs-story.XXXXXX") || exit 99
DATA=$S/data
MNT=$S/mnt
SOCK=$S/pfsd.sock
PFSD_PID=
RUNNER_PID=
CONTAINERD_PID=
claims=0

skip() {
	echo "skipped: $*"
	end_story
	exit 77
}

broken() {
	echo "not ok - $*"
	echo "--- the end of pfsd's log"
	tail -n 30 "$S/pfsd.log" 2>/dev/null
	[ -f "$S/runner.log" ] && { echo "--- the end of pfs-runner's log"; tail -n 30 "$S/runner.log"; }
	exit 1
}

# claim TEXT COMMAND...: the command succeeds.
claim() {
	claim_text=$1
	shift
	if ! "$@" >"$S/claim.out" 2>&1; then
		head -n 40 "$S/claim.out"
		broken "$claim_text"
	fi
	claims=$((claims + 1))
	echo "ok - $claim_text"
}

# refuse TEXT COMMAND...: the command fails.
refuse() {
	claim_text=$1
	shift
	if "$@" >"$S/claim.out" 2>&1; then
		head -n 40 "$S/claim.out"
		broken "$claim_text"
	fi
	claims=$((claims + 1))
	echo "ok - $claim_text"
}

# same TEXT WANT GOT
same() {
	[ "$2" = "$3" ] || { printf 'want: %s\ngot:  %s\n' "$2" "$3"; broken "$1"; }
	claims=$((claims + 1))
	echo "ok - $1"
}

# says TEXT WORDS: the output of the last claim or refuse has these words in it.
says() {
	grep -qF -- "$2" "$S/claim.out" || { cat "$S/claim.out"; broken "$1 (wanted: $2)"; }
	claims=$((claims + 1))
	echo "ok - $1"
}

finish() {
	echo "$claims claims hold"
	exit 0
}

need_root() { [ "$(id -u)" = 0 ] || skip "needs root"; }
need_fuse() { [ -c /dev/fuse ] || skip "needs /dev/fuse"; }
need_command() { command -v "$1" >/dev/null 2>&1 || skip "needs $1"; }

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
	wait_tries=$(($1 * 20))
	shift
	while ! "$@" >/dev/null 2>&1; do
		wait_tries=$((wait_tries - 1))
		[ "$wait_tries" -gt 0 ] || return 1
		sleep 0.05
	done
}

free_port() {
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

answers() { curl -sf --max-time 2 --unix-socket "$SOCK" http://localhost/ping; }

# start_pfsd [OPTION...]: with a mount unless --no-mount is among the options.
# PFSD_OPTIONS, from outside, are further ones: `--without all` for a story that
# is to hold on a kernel that can do nothing for us, too.
start_pfsd() {
	PORT=${PORT:-$(free_port)}
	H=127.0.0.1:$PORT
	mkdir -p "$MNT"
	case " $* " in
	*" --no-mount "*) start_mount= ;;
	*) start_mount="--mount $MNT" ;;
	esac
	# shellcheck disable=SC2086
	"$PFSD" --data "$DATA" $start_mount --listen "$H" --socket "$SOCK" ${PFSD_OPTIONS:-} "$@" >>"$S/pfsd.log" 2>&1 &
	PFSD_PID=$!
	wait_for 20 answers || broken "pfsd answers after it was started"
	if [ -n "$start_mount" ]; then
		wait_for 20 mountpoint -q "$MNT" || broken "pfsd mounts"
	fi
}

stop_pfsd() {
	[ -n "$PFSD_PID" ] || return 0
	kill -TERM "$PFSD_PID" 2>/dev/null
	wait "$PFSD_PID" 2>/dev/null
	stop_status=$?
	PFSD_PID=
	return $stop_status
}

crash_pfsd() {
	kill -KILL "$PFSD_PID" 2>/dev/null
	wait "$PFSD_PID" 2>/dev/null
	PFSD_PID=
}

# containerd of our own, with its own folders; CONTAINERD is its address.
start_containerd() {
	need_command containerd
	need_command runc
	mkdir -p "$S/containerd"
	CONTAINERD=$S/containerd/containerd.sock
	cat >"$S/containerd/config.toml" <<EOF
version = 2
root = "$S/containerd/root"
state = "$S/containerd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "$CONTAINERD"
[ttrpc]
  address = "$CONTAINERD.ttrpc"
EOF
	containerd --config "$S/containerd/config.toml" >"$S/containerd/log" 2>&1 &
	CONTAINERD_PID=$!
	wait_for 30 test -S "$CONTAINERD" || broken "containerd starts: $(tail -n 3 "$S/containerd/log")"
}

# start_runner: containerd, the busybox image made on the spot, pfs-runner.
start_runner() {
	[ -n "$CONTAINERD_PID" ] || start_containerd
	if [ ! -f "$S/busybox.tar" ]; then
		[ -x /bin/busybox ] || skip "needs busybox-static"
		"$PROJECT/packaging/busybox-image" "$S/busybox.tar" || broken "the busybox image is made"
		"$RUNNER" --containerd "$CONTAINERD" import "$S/busybox.tar" >>"$S/runner.log" 2>&1 ||
			broken "pfs-runner imports the image"
	fi
	"$RUNNER" --socket "$SOCK" --containerd "$CONTAINERD" --root "$S/runner" >>"$S/runner.log" 2>&1 &
	RUNNER_PID=$!
}

end_story() {
	trap - EXIT INT TERM
	for pid in $RUNNER_PID $PFSD_PID; do
		kill -TERM "$pid" 2>/dev/null
	done
	[ -n "$RUNNER_PID" ] && wait "$RUNNER_PID" 2>/dev/null
	[ -n "$PFSD_PID" ] && wait "$PFSD_PID" 2>/dev/null
	if [ -n "$CONTAINERD_PID" ]; then
		kill -TERM "$CONTAINERD_PID" 2>/dev/null
		wait "$CONTAINERD_PID" 2>/dev/null
	fi
	# Whatever a broken story left mounted below the scratch folder, deepest first.
	for m in $(awk -v s="$S/" 'index($2, s) == 1 { print $2 }' /proc/mounts | sort -r); do
		umount -l "$m" 2>/dev/null
	done
	[ "${PFS_KEEP:-}" ] || rm -rf "$S"
}
trap 'status=$?; end_story; exit $status' EXIT
trap 'exit 130' INT TERM
