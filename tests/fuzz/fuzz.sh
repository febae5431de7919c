#!/bin/sh
# SPDX-License-Identifier: ISC
# Runs fuzz targets, which are built in $BUILD, one after another for a number
# of seconds each.  What is found is kept in $BUILD/corpus, so that the next run
# goes on from there; with $MERGE what is new of it goes into the tree.  Ends
# with status 1 if a target has failed, and says where the input is.
set -u

[ $# -ge 2 ] || { echo "usage: fuzz.sh SECONDS TARGET ..." >&2; exit 2; }
seconds=$1
shift
failed=
export UBSAN_OPTIONS=print_stacktrace=1
export CMOCKA_TEST_ABORT=1

for name; do
	program=$BUILD/tests/fuzz/$name
	tree=tests/fuzz/corpus/$name
	found=$BUILD/corpus/$name
	crashes=$BUILD/crashes/$name
	mkdir -p "$found" "$crashes" "$tree"
	echo "== $name, $seconds s"
	if ! nice "$program" -max_total_time="$seconds" -timeout=10 \
	    -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 \
	    -artifact_prefix="$crashes/" "$found" "$tree" \
	    $(test -d "tests/fuzz/regress/$name" &&
	    echo "tests/fuzz/regress/$name") >"$BUILD/$name.log" 2>&1; then
		tail -n 40 "$BUILD/$name.log"
		echo "$name FAILED; what it was given is in $crashes"
		failed="$failed $name"
	fi
	grep -E 'stat::number_of_executed_units|DONE' "$BUILD/$name.log"
	if [ "${MERGE:-}" ]; then
		"$program" -merge=1 -max_len=4096 "$tree" "$found" \
		    >/dev/null 2>&1
	fi
done

[ -z "$failed" ] || { echo "failed:$failed"; exit 1; }
