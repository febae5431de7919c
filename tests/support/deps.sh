#!/bin/sh
# SPDX-License-Identifier: ISC
# deps.sh [demo | package]: installs what building takes, on Debian 12 and its
# relatives, and what the demo, or the Debian package, takes beside; without an
# argument, what all tests do.  But for the demo it makes the service user.
# Starts no service.  Not root: says what is missing.
set -eu

packages="gcc make bison pkgconf libc6-dev
	libevent-dev libtls-dev libssl-dev libseccomp-dev libcap-ng-dev libyaml-dev
	libncurses-dev"
demo="openssl knot-dnsutils unbound"
package="dpkg-dev debhelper dh-apparmor fakeroot libcmocka-dev ca-certificates"
what=${1:-tests}
case $what in
demo) packages="$packages $demo" ;;
package) packages="$packages $package" ;;
tests) packages="$packages $demo $package
	tmux zsh bind9-dnsutils ldnsutils getdns-utils
	nsd knot stunnel4
	python3-pytest python3-pytest-xdist python3-dnspython python3-cryptography
	libsystemd-shared iproute2 procps perl strace valgrind binutils systemd
	lintian apparmor nftables dnsmasq-base keepalived bird2
	prometheus chromium fonts-dejavu-core" # for the exporter and its page
	command -v node >/dev/null || packages="$packages nodejs"
	command -v npm >/dev/null || packages="$packages npm"
	;;
*)
	echo "usage: deps.sh [demo | package]" >&2
	exit 2
	;;
esac
if [ "${LINT:-}" ]; then
	packages="$packages clang clang-format clang-tidy cppcheck mandoc
		libclang-rt-14-dev llvm"
fi
if [ "${CROSS:-}" ]; then
	packages="$packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross
		qemu-user-static"
fi
if [ "${BENCH:-}" ]; then
	packages="$packages knot-resolver smartdns dnsdist stubby dnsperf
		gnuplot-nox"
fi
user=_dotproxy

missing=
for p in $packages; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null |
	    grep -q ' installed$' || missing="$missing $p"
done

if [ "$missing" ] && [ "$(id -u)" -ne 0 ]; then
	echo "These packages are missing; as root:" >&2
	echo "	apt-get install$missing" >&2
	exit 1
fi

if [ "$missing" ]; then
	# Servers that come as test peers must not start as services.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		trap 'rm -f $policy' EXIT
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
	fi
	apt-get -qq update
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
	    --no-install-recommends install $missing </dev/null
fi

if [ "$what" != demo ] && [ "$(id -u)" -eq 0 ] &&
    ! id $user >/dev/null 2>&1; then
	useradd --system --user-group --no-create-home \
	    --home-dir /run/dotproxy/empty --shell /usr/sbin/nologin $user
fi
[ "$what" = tests ] || exit 0

# Etsy's statsd, which Debian does not have, beside the packages: node runs it.
statsd=/opt/dotproxy-tests
if [ "$(id -u)" -eq 0 ] && [ ! -d $statsd/node_modules/statsd ]; then
	npm install --prefix $statsd --no-audit --no-fund --omit=optional \
	    --ignore-scripts statsd@0.9.0 >/dev/null ||
	    echo "statsd is not there: its test will be skipped" >&2
fi

# As a package it would make itself the resolver of this machine: its program
# alone is wanted, of the version whose library is there.
resolved=/usr/local/lib/dotproxy-tests
if [ "$(id -u)" -eq 0 ] && [ ! -e $resolved/lib/systemd/systemd-resolved ]; then
	version=$(dpkg-query -W -f '${Version}' libsystemd-shared)
	folder=$(mktemp -d)
	if (cd "$folder" && chmod 755 . &&
	    apt-get -qq download "systemd-resolved=$version" 2>/dev/null); then
		mkdir -p $resolved
		dpkg-deb -x "$folder"/systemd-resolved_*.deb $resolved
	else
		echo "No systemd-resolved $version: its test will be skipped" >&2
	fi
	rm -rf "$folder"
fi

# OpenRC would take the place of this machine's init: its programs alone, too.
openrc=$resolved/openrc
if [ "$(id -u)" -eq 0 ] && [ ! -e $openrc/sbin/openrc-run ]; then
	folder=$(mktemp -d)
	if (cd "$folder" && chmod 755 . &&
	    apt-get -qq download openrc libeinfo1 librc1 2>/dev/null); then
		mkdir -p $openrc
		for package in "$folder"/*.deb; do
			dpkg-deb -x "$package" $openrc
		done
	else
		echo "No openrc: its test will be skipped" >&2
	fi
	rm -rf "$folder"
fi
