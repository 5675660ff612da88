#!/bin/sh
# Fuzz every decoder with libFuzzer, AddressSanitizer and UBSan, one after the other.
#
#	tests/fuzz/run.sh FOLDER MINUTES [NOUN ...]
#
# FOLDER keeps the build, one growing corpus a noun and one log a noun, so that
# the next run goes on where this one ended; MINUTES are for each noun (0: try what is kept, no more). Without
# nouns all of tests/fuzz/fuzz_*.c are run. What is found lies in
# FOLDER/found/NOUN: make it small with `FOLDER/fuzz_NOUN -minimize_crash=1`,
# mend the decoder and commit the file to tests/fuzz/seed/NOUN.
#
# Wants clang and its runtime (Debian: clang-14 libclang-rt-14-dev).
set -eu

[ $# -ge 2 ] || { sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2; }
source=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)
minutes=$2
shift 2
clang=${CLANG:-$(command -v clang-14 || command -v clang || true)}
[ -n "$clang" ] || { echo "no clang: apt-get install clang-14 libclang-rt-14-dev" >&2; exit 1; }
[ $# -gt 0 ] || set -- $(cd "$source/tests/fuzz" && ls fuzz_*.c | sed 's/^fuzz_//; s/\.c$//')

keys=
for card in "$source"/src/*/room.h; do
	room=$(basename "$(dirname "$card")" | tr a-z A-Z)
	keys="$keys -DPFS_MAY_USE_$room"
done

[ -e "$folder/build/build.ninja" ] || CC=$clang meson setup "$folder/build" "$source" \
	-Dc_args=-fsanitize=fuzzer-no-link -Db_sanitize=address,undefined -Db_lundef=false \
	-Dwerror=false > "$folder/setup.log"
# The libraries of the rooms; programs are of no use here.
rooms=$(ninja -C "$folder/build" -t targets all | sed -n 's,^\(src/[a-z/]*lib[a-z-]*\.a\):.*,\1,p')
ninja -C "$folder/build" -j2 $rooms > "$folder/build.log"

for noun; do
	more=
	case $noun in
	splice) # with chunks and nodes as small as in tests/meson.build
		more="-DPFS_CHUNK_REACH=132u -DPFS_CHUNK_BITS=4 -DPFS_SPLIT_REACH=100u
			$(ls "$source"/src/tree/*.c) $source/src/format/seqnode.c" ;;
	esac
	(cd "$folder/build" && "$clang" -g -O1 -std=gnu17 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 \
		-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined $keys \
		-I"$source/src" -I"$source/include" "$source/tests/fuzz/fuzz_$noun.c" $more \
		-Wl,--start-group $rooms -Wl,--end-group -lsqlite3 -lcrypto -lzstd -ljansson -lcurl \
		-lnghttp2 -luuid -lseccomp -lprotobuf-c -lpthread -o "$folder/fuzz_$noun")
done

how="-max_total_time=$((minutes * 60))"
[ "$minutes" -gt 0 ] || how=-runs=0
status=0
for noun; do
	seeds=$source/tests/fuzz/seed/$noun
	mkdir -p "$folder/corpus/$noun" "$folder/found/$noun"
	if ! "$folder/fuzz_$noun" $how -timeout=25 -rss_limit_mb=2048 \
		-print_final_stats=1 -artifact_prefix="$folder/found/$noun/" \
		"$folder/corpus/$noun" $([ -d "$seeds" ] && echo "$seeds") \
		> "$folder/$noun.log" 2>&1
	then
		status=1
		echo "fuzz_$noun: found something, see $folder/$noun.log"
	fi
	sed -n "s/^stat::number_of_executed_units: */fuzz_$noun: inputs /p" "$folder/$noun.log"
done
exit $status
