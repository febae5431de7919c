#!/bin/sh
# SPDX-License-Identifier: ISC
# sysroot.sh ARCHITECTURE FOLDER: unpacks there what building dotproxy for
# another architecture of Debian takes.  Nothing of it is installed: some of
# these packages would take the place of this machine's own.
set -eu

architecture=$1
root=$2
packages="libc6 libc6-dev libcrypt1 linux-libc-dev libgcc-s1
	libevent-dev libevent-core-2.1-7 libtls-dev libtls26 libssl-dev libssl3
	libseccomp-dev libseccomp2 libcap-ng-dev libcap-ng0
	libcmocka-dev libcmocka0 libncurses-dev libncurses6 libtinfo6"

if [ -e "$root/complete" ]; then
	exit
fi
for tool in aarch64-linux-gnu-gcc qemu-aarch64-static; do
	command -v $tool >/dev/null || {
		echo "$tool is missing; CROSS=1 make deps" >&2
		exit 1
	}
done

# apt's state of its own: it knows of the other architecture, the machine's
# does not.
mkdir -p "$root/debs/lists/partial" "$root/debs/cache/archives/partial"
cd "$root/debs"
apt="-o Dir::State::Lists=$PWD/lists -o Dir::Cache=$PWD/cache
	-o APT::Architecture=$architecture -o APT::Architectures=$architecture
	-o APT::Sandbox::User=root -o Dir::State::status=/dev/null"
# shellcheck disable=SC2086
apt-get -qq $apt update
# shellcheck disable=SC2086
apt-get -qq $apt download $packages
for package in *.deb; do
	dpkg-deb -x "$package" ..
done
cd ..
rm -rf debs
touch complete
