#!/bin/sh
# SPDX-License-Identifier: ISC
# sysroot.sh ARCHITECTURE FOLDER: unpacks there what building dotproxy for
# another architecture of Debian takes.  Nothing of it is installed: some of
# these packages would take the place of this machine's own.
set -eu

architecture=$1
mkdir -p "$2"
root=$(cd "$2" && pwd)
packages="libc6 libc6-dev libcrypt1 linux-libc-dev libgcc-s1
	libevent-dev libevent-core-2.1-7 libtls-dev libtls26 libssl-dev libssl3
	libseccomp-dev libseccomp2 libcap-ng-dev libcap-ng0 libyaml-dev libyaml-0-2
	libcmocka-dev libcmocka0 libncurses-dev libncurses6 libtinfo6"

if [ -e "$root/complete" ]; then
	exit
fi
for tool in aarch64-linux-gnu-gcc qemu-aarch64-static; do
	command -v $tool >/dev/null || {
		echo "$tool is missing; CROSS=1 tests/support/deps.sh" >&2
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
# And dpkg's, so that a package can be told what it depends on.
info=$root/var/lib/dpkg/info
mkdir -p "$info"
echo 1 >"$info/format"
for package in *.deb; do
	dpkg-deb -x "$package" "$root"
	name=$(dpkg-deb -f "$package" Package)
	if [ "$(dpkg-deb -f "$package" Multi-Arch)" = same ]; then
		name=$name:$architecture
	fi
	dpkg-deb --fsys-tarfile "$package" | tar -t |
	    sed "s|^\.|$root|; s|/$||" >"$info/$name.list"
	dpkg-deb -e "$package" control
	for file in symbols shlibs; do
		test ! -e control/$file ||
		    mv control/$file "$info/$name.$file"
	done
	rm -r control
	dpkg-deb -f "$package"
	printf 'Status: install ok installed\n\n'
done >"$root/var/lib/dpkg/status"
cd ..
rm -rf debs
# Some libraries' links are to what would be in the root directory.
find "$root/lib" "$root/usr/lib" -type l -lname '/*' | while read -r link; do
	ln -sfn "$root$(readlink "$link")" "$link"
done
touch complete
