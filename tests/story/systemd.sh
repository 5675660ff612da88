#!/bin/sh
# A machine that systemd runs: pfs is installed, systemd boots, and the service, the
# line of fstab and the unit of a mount are started, reloaded, restarted, killed and
# stopped by it, while somebody works in the mount.
#
# The machine is a process tree of our own: it sees the programs of this one, and what
# it writes is in memory, but for the data folder.
if [ "${SYSTEMD_APART:-}" = "" ]; then
	unshare --mount --propagation private true 2>/dev/null ||
		{ echo "skipped: needs root, and unshare(1)"; exit 77; }
	SYSTEMD_APART=1 exec unshare --mount --propagation private "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_command python3
need_command nsenter
need_command meson
need_command systemctl
SYSTEMD=/lib/systemd/systemd
[ -x $SYSTEMD ] || skip "needs systemd"
R=$S/root
CGROUP=$S/cgroup
BOOTER=

machine_off() {
	[ -n "$BOOTER" ] || return 0
	kill -KILL "$BOOTER" 2>/dev/null
	wait "$BOOTER" 2>/dev/null
	BOOTER=
}
remove_cgroup() { # one that has still a process stays for a moment
	find "$CGROUP/$OWN" -depth -type d -exec rmdir {} \; 2>/dev/null
	[ ! -d "$CGROUP/$OWN" ]
}
end_all() {
	machine_off
	[ -z "${OWN:-}" ] || wait_for 5 remove_cgroup
	end_story
}
trap 'status=$?; end_all; exit $status' EXIT

# ---- a machine ----
# Unified control groups, of which it gets one: it has the processes below it to itself.
mkdir "$CGROUP" "$R" "$S/memory" "$DATA" "$S/shared"
mount -t cgroup2 cgroup2 "$CGROUP" 2>/dev/null || skip "needs the right to mount control groups"
OWN=$(sed -n 's/^0:://p' /proc/self/cgroup)/pfs-story.$$
mkdir "$CGROUP/$OWN" 2>/dev/null || { OWN=; skip "needs the right to make a control group"; }
mount -t tmpfs tmpfs "$S/memory"
mkdir "$S/memory/upper" "$S/memory/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$S/memory/upper,workdir=$S/memory/work" "$R" 2>/dev/null ||
	skip "needs overlayfs"
[ -x "$R$SYSTEMD" ] || skip "needs systemd on the root file system"
claim "pfs is installed" meson install -C "$PFS_BUILD" --no-rebuild --skip-subprojects --destdir "$R"
ldconfig -r "$R"
UNITS=$(dirname "$(find "$R/usr" -name pfsd.service)") || broken "a unit is installed"
BIN=$(sed -n 's/^ExecStart=//p' "$UNITS/pfsd.service")

# Its devices, and nothing of what this machine does at boot.
for t in run dev; do mount -t tmpfs -o mode=755 tmpfs "$R/$t"; done
for d in null zero full random urandom tty fuse; do cp -a "/dev/$d" "$R/dev/"; done
mkdir -p "$R/var/lib/pfs" "$R/run/shared" "$R/run/story"
mount --bind "$DATA" "$R/var/lib/pfs"
mount --bind "$S/shared" "$R/run/shared"
mount --bind "$STORY_SOURCE" "$R/run/story"
rm -rf "$R/etc/systemd/system"
mkdir "$R/etc/systemd/system"
for unit in "$R$(dirname $SYSTEMD)"/system/*.target.wants/*; do
	case $unit in
	*.target | *journald* | *local-fs* | *remote-fs*) ;;
	*) ln -sf /dev/null "$R/etc/systemd/system/${unit##*/}" ;;
	esac
done
# A line of fstab that is there at boot: it wants the data folder to be there first.
echo "/var/lib/pfs/second /second fuse.pfs listen=127.0.0.1:6501,socket=/run/pfs/2.sock,log=/run/shared/second.log 0 0" \
	>"$R/etc/fstab"
mkdir -p "$R/second" "$DATA/second"
printf 'pfs0123456789abcdef0123456789abcd\n' | tr -c '0-9a-f\n' 0 | cut -c 1-32 >"$R/etc/machine-id"

cat >"$S/boot" <<'BOOT'
#!/bin/sh
# boot ROOT SYSTEMD: what is the first process here becomes systemd.
mount -t proc proc "$1/proc" && mount -t sysfs -o ro sysfs "$1/sys" && mount -t cgroup2 cgroup2 "$1/sys/fs/cgroup" || exit 1
cd "$1" && mkdir -p run/old && pivot_root . run/old && cd / && umount -l /run/old || exit 1
exec env -i container=story PATH="$PATH" "$2" --unit=multi-user.target --show-status=no --log-target=console
BOOT
chmod +x "$S/boot"
# In its group from the start, so that this is the root of what it sees.
sh -c 'echo 0 >"$1/cgroup.procs" && exec unshare --mount --pid --fork --kill-child --cgroup --uts --ipc --net "$2" "$3" "$4"' \
	- "$CGROUP/$OWN" "$S/boot" "$R" "$SYSTEMD" >"$S/boot.log" 2>&1 &
BOOTER=$!

# inside COMMAND...: on that machine.
inside() {
	nsenter -t "$FIRST" -m -p -C -u -i -n env -i PATH="$PATH" "$@"
}
find_first() { FIRST=$(pgrep -P "$BOOTER"); }
booted() { find_first && [ "$(inside systemctl is-system-running)" = running ]; }
wait_for 30 booted || { tail -n 20 "$S/boot.log" | sed 's/^/# /'; skip "systemd does not boot here"; }
echo "# $(inside systemctl --version | head -n 1)"

in_state() { [ "$(inside systemctl show -P ActiveState "$2")" = "$1" ]; }
journal() { inside journalctl --no-pager -o cat -u pfsd; }
count_log() { journal | grep -c "$1"; }
logged() { [ "$(count_log "$1")" -ge "$2" ]; }
mounts_at() { inside awk -v m="$1" '$2 == m' /proc/self/mounts | wc -l; }
main_pid() { inside systemctl show -P MainPID pfsd; }
drop_in() { # LINES...: what an administrator adds to the unit; we restart more often than is usual
	inside mkdir -p /etc/systemd/system/pfsd.service.d
	printf '%s\n' '[Unit]' StartLimitIntervalSec=0 '[Service]' "$@" | inside tee /etc/systemd/system/pfsd.service.d/local.conf >/dev/null
	inside systemctl daemon-reload
}

# ---- a line of fstab, mounted at boot ----
same "what fstab says is mounted when the machine has booted" 1 "$(mounts_at /second)"
claim "by the unit that systemd makes of it" in_state active second.mount
says_requires=$(inside systemctl show -P RequiresMountsFor second.mount)
claim "which waits for what the data folder lies on" sh -c "echo '$says_requires' | grep -q /var/lib/pfs"
inside sh -c 'mkdir -p /second/r/b && echo kept >/second/r/b/f'
claim "umount ends it" inside umount /second
claim "which systemd hears of" wait_for 10 in_state inactive second.mount
claim "systemd mounts it again" inside systemctl start second.mount
same "what was written is there" kept "$(inside cat /second/r/b/f)"
claim "and unmounts it" inside systemctl stop second.mount
same "nothing is mounted" 0 "$(mounts_at /second)"
claim "its pfsd ended in its own time" wait_for 10 sh -c "tail -n 1 '$S/shared/second.log' | grep -q pfsd.stopped"
claim "mount -a mounts it" inside mount -a
claim "which systemd hears of as well" wait_for 10 in_state active second.mount
same "with what was written" kept "$(inside cat /second/r/b/f)"
inside systemctl stop second.mount

# ---- the service ----
claim "the service is enabled and started" inside systemctl enable --now pfsd
claim "it is active" in_state active pfsd
same "mounted when systemctl returns" 1 "$(mounts_at /pfs)"
claim "without --hold the end unmounts" inside systemctl stop pfsd
same "nothing is left" 0 "$(mounts_at /pfs)"
claim "the result is a success" test "$(inside systemctl show -P Result pfsd)" = success
drop_in ExecStart= "ExecStart=$BIN --without io_uring --hold 30"
claim "started again, with --hold" inside systemctl start pfsd

B=/pfs/r/master
inside python3 /run/story/restart.py prepare $B
inside sh -c "echo first >$B/.pfs/commit"
ID=$(inside cat $B/.pfs/head)
mkfifo "$S/to" "$S/from"
inside python3 /run/story/restart.py hold $B "/pfs/r/$ID" <"$S/to" >"$S/from" &
HOLDER=$!
exec 8>"$S/to" 9<"$S/from"
read -r answer <&9
same "everything is open" ready "$answer"
look() {
	echo "$1" >&8
	read -r answer <&9
	[ "$answer" = ok ] || { echo "$answer"; return 1; }
}
claim "all of it works" look look
inside python3 /run/story/restart.py write $B/load >"$S/load.out" &
LOAD=$!
wait_for 10 grep -q ready "$S/load.out"

# The state goes to "reloading" and back when pfsd says so; systemctl does not wait for that.
reload() {
	reloads=$(count_log pfsd.ready)
	inside systemctl reload pfsd && wait_for 20 logged pfsd.ready $((reloads + 1)) &&
		wait_for 10 in_state active pfsd
}
PID=$(main_pid)
reload || ! logged "pfsd.not_reloaded.*cannot send requests again" 1 || skip "this kernel cannot send requests again"
claim "systemctl reload" reload
claim "what was open works" look look
same "it is the same process" "$PID" "$(main_pid)"
claim "systemctl restart" inside systemctl restart pfsd
claim "what was open works: the store of descriptors kept the mount" look look
refuse "it is another process" test "$PID" = "$(main_pid)"
claim "which took what was kept" logged mount.taken 2
same "and nothing of it is kept now" 0 "$(inside systemctl show -P NFileDescriptorStore pfsd)"
cat >"$S/shared/upgrade" <<UP
cp $BIN $BIN.new && mv $BIN.new $BIN
UP
claim "another program is installed" inside sh /run/shared/upgrade
claim "reload takes it" reload
claim "what was open works" look look
refuse "the old one is no more" inside sh -c "readlink /proc/$(main_pid)/exe | grep deleted"
claim "and once more" inside sh /run/shared/upgrade
claim "restart takes it" inside systemctl restart pfsd
claim "what was open works" look look
claim "systemd itself is started anew" inside systemctl daemon-reexec
claim "and restarts it all the same" inside systemctl restart pfsd
claim "what was open works" look look
claim "half a message is written" look say
claim "reload" reload
claim "restart" inside systemctl restart pfsd
inside pkill -TERM -f 'restart.py write'
claim "who wrote all the time lost nothing" wait $LOAD
claim "and at the end everything goes on as it began" look end
exec 8>&- 9<&-
wait $HOLDER
journal >"$S/journal"
refuse "nothing was lost on the way" grep -qE "mount.lost|an open file is lost|Sanitizer|runtime error" "$S/journal"

# ---- what goes wrong ----
drop_in ExecStart= "ExecStart=$BIN --without io_uring --hold 30" "RestartSec=100ms"
PID=$(main_pid)
claim "pfsd is killed" inside systemctl kill -s KILL pfsd
another_runs() { [ "$(main_pid)" != "$PID" ] && in_state active pfsd; }
claim "systemd starts another one" wait_for 20 another_runs
same "mounted once" 1 "$(mounts_at /pfs)"
claim "with what was there" inside test -f $B/kept
inside sh -c "printf '#!/bin/sh\nexit 3\n' >$BIN.bad && chmod +x $BIN.bad && mv $BIN $BIN.good && mv $BIN.bad $BIN"
inside systemctl reload pfsd
claim "a program that does not start is not taken" wait_for 20 logged pfsd.not_reloaded 1
claim "the service stays active" in_state active pfsd
claim "and answers" inside cat $B/kept
inside mv $BIN.good $BIN

# ---- the end ----
claim "a stop with --hold" inside systemctl stop pfsd
same "leaves no mount behind, since nobody comes for it" 0 "$(mounts_at /pfs)"
claim "start" inside systemctl start pfsd
claim "somebody unmounts" inside umount /pfs
claim "that ends the service" wait_for 20 in_state inactive pfsd
same "which is no failure" success "$(inside systemctl show -P Result pfsd)"
inside sh -c 'cp "$(find /usr -name pfs.mount)" /etc/systemd/system/'
inside systemctl daemon-reload
claim "the unit of a mount" inside systemctl enable --now pfs.mount
same "mounts" 1 "$(mounts_at /pfs)"
claim "what the service had" inside test -f $B/kept
refuse "the service does not start beside it" inside systemctl start pfsd
inside systemctl stop pfsd
same "and leaves its mount alone" 1 "$(mounts_at /pfs)"
inside sh -c "echo later >$B/later"
claim "the machine goes down" inside systemctl poweroff --no-block
gone() { ! kill -0 "$FIRST" 2>/dev/null; }
claim "in time" wait_for 30 gone
wait "$BOOTER" 2>/dev/null
BOOTER=

# What was written before the end is in the data folder, and it is whole.
start_pfsd
same "what was written last is there" later "$(cat "$MNT/r/master/later")"
stop_pfsd
claim "and the store is whole" "$PFS" fsck --data "$DATA"
finish
