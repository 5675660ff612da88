#!/bin/sh
# Run a test and fail if any process of it left a sanitizer report: leaks that
# LeakSanitizer finds do not fail a Criterion test by themselves.
reports=$(mktemp -d) || exit 99
trap 'rm -rf "$reports"' EXIT
export ASAN_OPTIONS="log_path=$reports/asan:$ASAN_OPTIONS"
export UBSAN_OPTIONS="log_path=$reports/ubsan:halt_on_error=1:print_stacktrace=1:$UBSAN_OPTIONS"
"$@"
status=$?
for r in "$reports"/*; do
	[ -e "$r" ] || continue
	cat "$r" >&2
	status=1
done
exit $status
