#!/bin/sh
# SPDX-License-Identifier: ISC
# reproducible.sh FOLDER: builds a release twice there, in different places, at
# different times, by somebody with other habits, and compares what comes out.
set -eu

rm -rf "$1"
mkdir -p "$1"
folder=$(cd "$1" && pwd)
unset MAKEFLAGS MFLAGS BUILD

make -s dist BUILD="$folder/release"
for place in one another/place; do
	mkdir -p "$folder/$place"
	tar -xzf "$folder"/release/dotproxy-*.tar.gz --strip-components=1 \
	    -C "$folder/$place"
done
(cd "$folder/one" && umask 022 && TZ=UTC LC_ALL=C \
    make -s -j2 all dist >/dev/null)
(cd "$folder/another/place" && umask 077 && TZ=Asia/Tokyo LC_ALL=C.UTF-8 \
    HOME=/nonexistent make -s all dist >/dev/null)

cd "$folder/one/build"
for file in sbin/dotproxy bin/dotproxyctl libexec/dotproxy/* *.tar.gz; do
	cmp "$file" "$folder/another/place/build/$file"
done
cmp "$folder"/release/*.tar.gz ./*.tar.gz
echo "the same: four programs and the release"
