#!/bin/sh
# What POSIX promises several processes about one file: locks, appends, shared
# mappings, writes that are durable when they return; each while the branch is
# committed. posix.py has the claims one by one.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_command python3
start_pfsd
mkdir "$MNT/r" && mkdir "$MNT/r/b" && mkdir "$MNT/r/b/d" && cd "$MNT/r/b/d" || broken "a branch"
BRANCH=$MNT/r/b
LOCAL=$S/local
export BRANCH DATA LOCAL
mkdir "$LOCAL"
posix() { timeout 120 python3 "$STORY_SOURCE/posix.py" "$1"; }
has_word() { grep -q "$1" "$2"; }

all_of_it() { # SUFFIX
	for each in record_locks waiting_for_a_lock whole_file_locks locks_of_open_files \
		sqlite_with_a_rollback_journal sqlite_with_a_write_ahead_log \
		appending_to_a_new_file appending_to_a_committed_file direct_io \
		shared_mappings_of_a_new_file shared_mappings_of_a_committed_file \
		times_of_a_new_mapped_file times_of_a_committed_mapped_file \
		private_mappings_of_a_commit access_times set_id_bits_and_who_writes \
		set_id_bits_and_who_changes_without_a_write set_id_bits_and_who_gives_away \
		set_id_bits_of_what_is_installed what_is_free_is_what_the_disk_of_the_data_has \
		limits_are_told_by_their_names whatever_is_done_is_done_as_on_a_local_disk; do
		claim "$(echo "$each" | tr _ ' ')$1" posix "$each"
	done
}
all_of_it ""

python3 "$STORY_SOURCE/posix.py" write_synchronously >"$S/written" 2>&1 &
writer=$!
claim "writes with O_SYNC, O_DSYNC and RWF_DSYNC" wait_for 30 has_word written "$S/written"
cd "$S" || exit 1
crash_pfsd
kill "$writer"
wait "$writer" 2>/dev/null
umount -l "$MNT"
start_pfsd
cd "$MNT/r/b/d" || broken "the branch after a crash"
claim "what was written so is there after a crash" posix what_was_written_synchronously_is_there
cd "$S" || exit 1
claim "pfsd ends" stop_pfsd

# The same where every byte goes through us.
mkfifo "$S/commands"
mkdir "$S/data2" "$S/mnt2"
"$PFS_BUILD/tests/mountonly" "$S/data2" "$S/mnt2" passthrough=0 <"$S/commands" >"$S/mountonly.log" 2>&1 &
exec 5>"$S/commands"
claim "a mount without passthrough" wait_for 20 mountpoint -q "$S/mnt2"
mkdir "$S/mnt2/r" && mkdir "$S/mnt2/r/b" && mkdir "$S/mnt2/r/b/d" && cd "$S/mnt2/r/b/d" || broken "a branch"
BRANCH=$S/mnt2/r/b
all_of_it ", without passthrough"
cd "$S" || exit 1
exec 5>&-
wait
refuse "it is taken away" mountpoint -q "$S/mnt2"
finish
