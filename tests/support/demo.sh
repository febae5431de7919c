#!/bin/sh
# SPDX-License-Identifier: ISC
# See dotproxy work: a throw-away CA, Unbound from Debian as a DNS-over-TLS
# resolver on loopback, dotproxy in front of it, questions by kdig.  Uses no
# other network than loopback, and leaves nothing behind.
# usage: demo.sh [oneshot]
set -eu

build=${BUILD:-build}
port=${PORT:-5353} # an mDNS responder may hold it: make demo PORT=5300
upstream_port=${UPSTREAM_PORT:-8853}
dir=$(mktemp -d)
pids=

cleanup() {
	trap - EXIT INT TERM
	for pid in $pids; do
		kill "$pid" 2>/dev/null || :
		wait "$pid" 2>/dev/null || :
	done
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 0' INT TERM

say() {
	printf '\n==> %s\n' "$*"
}

# Waits until the command given succeeds, 10 s at the most.
wait_for() {
	n=0
	until "$@" >/dev/null 2>&1; do
		n=$((n + 1))
		if [ $n -ge 100 ]; then
			echo "demo: gave up waiting for: $*" >&2
			cat "$dir"/*.log >&2
			exit 1
		fi
		sleep 0.1
	done
}

make_certificates() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
	    -days 2 -subj "/CN=dotproxy demo CA" -keyout "$dir/ca.key" \
	    -out "$dir/ca.pem" 2>/dev/null
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
	    -subj "/CN=resolver.demo" -keyout "$dir/server.key" \
	    -out "$dir/server.csr" 2>/dev/null
	echo "subjectAltName=DNS:resolver.demo" >"$dir/server.ext"
	openssl x509 -req -in "$dir/server.csr" -days 2 -CA "$dir/ca.pem" \
	    -CAkey "$dir/ca.key" -CAcreateserial -extfile "$dir/server.ext" \
	    -out "$dir/server.pem" 2>/dev/null
}

write_configs() {
	cat >"$dir/unbound.conf" <<-EOF
	server:
		directory: "$dir"
		chroot: ""
		username: ""
		pidfile: ""
		use-syslog: no
		logfile: "$dir/unbound.log"
		do-daemonize: no
		interface: 127.0.0.1@$upstream_port
		tls-port: $upstream_port
		tls-service-key: "$dir/server.key"
		tls-service-pem: "$dir/server.pem"
		module-config: "iterator"
		local-zone: "demo." static
		local-data: "www.demo. A 192.0.2.1"
		local-data: "www.demo. AAAA 2001:db8::1"
		local-data: "demo. MX 10 mail.demo."
		local-data: 'demo. TXT "carried over TLS"'
	remote-control:
		control-enable: no
	EOF
	cat >"$dir/dotproxy.conf" <<-EOF
	# The user must exist; root gives up its privileges to become it.
	user "nobody"
	control socket "$dir/dotproxy.sock"

	listen on 127.0.0.1 port $port

	upstream "demo" {
	    address 127.0.0.1 port $upstream_port
	    server name "resolver.demo"
	    ca file "$dir/ca.pem"
	}
	EOF
}

ctl() {
	"$build/bin/dotproxyctl" -s "$dir/dotproxy.sock" "$@"
}

ask() {
	printf '\n$ kdig @127.0.0.1 -p %s %s\n' "$port" "$*"
	answer=$(kdig @127.0.0.1 -p "$port" +noall +answer "$@")
	echo "$answer"
	if [ -z "$answer" ]; then
		echo "demo: no answer" >&2
		cat "$dir"/*.log >&2
		exit 1
	fi
}

# Some systems keep it out of the path of users.
unbound=$(PATH=$PATH:/usr/sbin command -v unbound)

say "Making a certificate authority and a certificate for resolver.demo"
make_certificates
write_configs

say "Starting Unbound, a DNS-over-TLS resolver, on 127.0.0.1:$upstream_port"
"$unbound" -d -c "$dir/unbound.conf" &
pids="$!"

say "Starting dotproxy on 127.0.0.1:$port, configured with"
cat "$dir/dotproxy.conf"
"$build/sbin/dotproxy" -d -f "$dir/dotproxy.conf" 2>"$dir/dotproxy.log" &
dotproxy=$!
pids="$dotproxy $pids"
wait_for ctl show summary
wait_for kdig @127.0.0.1 -p $upstream_port +tls-ca="$dir/ca.pem" \
    +tls-host=resolver.demo www.demo

say "Asking in plain DNS; the answers come through TLS"
ask www.demo A
ask www.demo AAAA
ask +tcp demo MX
ask +tcp +edns demo TXT

say "What happened: dotproxyctl show pool"
ctl show pool

if [ "${1:-}" ]; then
	exit 0
fi
say "dotproxy is up; try, from another terminal:"
echo "	kdig @127.0.0.1 -p $port www.demo"
echo "	$build/bin/dotproxyctl -s $dir/dotproxy.sock show summary"
echo "Ctrl-C ends it."
wait "$dotproxy"
