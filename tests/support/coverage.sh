#!/bin/sh
# SPDX-License-Identifier: ISC
# Runs the tests of a build with COVERAGE=1, in $BUILD, and says which lines of
# the source files named they have reached: a table, and for each file in
# $BUILD/report the lines not reached.
#
# usage: coverage.sh "E2E TESTS" SOURCE ...
#
# Counters are in shared mappings of files in $BUILD/profiles, one for each
# program, so they count in a confined child, up to its last moment.  What is not
# seen: a process that cannot open its program's file (a user that is not root,
# in a test that is about that), and a function that runs before main().
set -u

tests=$1
shift
profiles=$BUILD/profiles
mkdir -p "$profiles" "$BUILD/report"
rm -f "$profiles"/*
chmod 1777 "$profiles"

# The runtime truncates a new file, which what a child inherits of the parent's
# filter denies; not one that is there.  Alone a child ends with an error.
for child in "$BUILD"/libexec/dotproxy/*; do
	timeout 10 "$child" </dev/null >/dev/null 2>&1
done

echo "== unit tests, scenarios, corpus"
prove -j 2 $(find "$BUILD/tests/unit" "$BUILD/tests/replay" -type f \
    -perm -u+x) 2>&1 | tail -n 5
prove -j 2 --exec tests/fuzz/replay.sh $(find "$BUILD/tests/fuzz" -type f \
    -perm -u+x) 2>&1 | tail -n 3
if [ "$tests" ]; then
	echo "== end to end: $tests"
	# shellcheck disable=SC2086
	(cd tests/e2e && DOTPROXY_BUILD=$(realpath "../../$BUILD") \
	    /usr/bin/python3 -m pytest -n 3 --dist loadfile -q \
	    -p no:cacheprovider $tests 2>&1 | tail -n 20)
fi

llvm-profdata merge -o "$BUILD/profile" "$profiles"/*.profraw || exit 1
objects=
for p in libexec/dotproxy/dotproxy-listener libexec/dotproxy/dotproxy-pool \
    bin/dotproxyctl sbin/dotproxy; do
	objects="$objects ${objects:+-object} $BUILD/$p"
done
rm -f "$BUILD"/report/*
for source; do
	# shellcheck disable=SC2086
	llvm-cov show $objects -instr-profile="$BUILD/profile" \
	    -show-line-counts "$source" 2>/dev/null |
	    awk -F'|' '$2 ~ /^ *0$/' \
	    >"$BUILD/report/$(echo "$source" | tr / -)"
done
# shellcheck disable=SC2086
llvm-cov export -summary-only -instr-profile="$BUILD/profile" $objects \
    "$@" 2>/dev/null | tests/support/coverage.py "$@"
echo "Lines not reached: $BUILD/report"
