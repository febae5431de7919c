# SPDX-License-Identifier: ISC
"""
How each forwarder is configured and started.  Each gets what is best for it:
no log, no cache (no name is asked twice, so one would only cost), room for
more queries than any load has outstanding, a TLS session that stays open, and
one thread for the work where it can be chosen.
"""

import os

SERVER = "dot.bench"  # the name in the upstream's certificate

# "user" only where there are privileges to give up.
DOTPROXY = """\
{user}control socket "{dir}/control"
listen on 127.0.0.1 port {port}
upstream "sink" {{
	address 127.0.0.1 port {upstream}
	server name "{server}"
	ca file "{ca}"
}}
"""

UNBOUND = """\
server:
 directory: "{dir}"
 chroot: ""
 username: ""
 pidfile: ""
 do-daemonize: no
 use-syslog: no
 logfile: "{dir}/unbound.log"
 verbosity: 0
 interface: 127.0.0.1@{port}
 do-not-query-localhost: no		# the upstream is there
 tls-cert-bundle: "{ca}"
 num-threads: 1
 module-config: "iterator"		# no validation: dotproxy does none
 cache-max-ttl: 0			# nothing is answered from the cache
 msg-cache-size: 1m
 rrset-cache-size: 1m
 minimal-responses: yes
 qname-minimisation: no			# it is off when forwarding anyway
 num-queries-per-thread: 8192		# never jostle a query out
 wait-limit: 0				# no limit for one client, default 1000
 discard-timeout: 0			# nor for the age of an answer
 infra-keep-probing: yes		# never hold the upstream for dead
 outgoing-range: 16384
 outgoing-num-tcp: 100			# TLS connections at a time
 max-reuse-tcp-queries: 100000		# per connection, default 200
 tcp-reuse-timeout: 60000
 so-rcvbuf: 4m				# bursts
 so-sndbuf: 4m
remote-control:
 control-enable: no
forward-zone:
 name: "."
 forward-tls-upstream: yes
 forward-no-cache: yes
 forward-addr: 127.0.0.1@{upstream}#{server}
"""

# The buffer of its socket cannot be set in the configuration, but in Lua: with
# the system's default a burst of 400 queries does not fit.
KRESD = """\
net.listen('127.0.0.1', {port}, {{ kind = 'dns' }})
local ffi = require('ffi')
ffi.cdef('int setsockopt(int, int, int, const void *, uint32_t)')
local size = ffi.new('int[1]', 4194304)
for fd = 3, 63 do
	ffi.C.setsockopt(fd, 1, 8, size, 4)	-- SOL_SOCKET, SO_RCVBUF
end
-- No questions of its own, no validation.
modules.unload('ta_update')
modules.unload('ta_signal_query')
modules.unload('priming')
modules.unload('detect_time_skew')
trust_anchors.remove('.')
policy.add(policy.all(policy.FLAGS('NO_CACHE')))
-- Queries outstanding on one connection, default 100.
net.tcp_pipeline(65535)
policy.add(policy.all(policy.TLS_FORWARD({{
	{{ '127.0.0.1@{upstream}', hostname = '{server}', ca_file = '{ca}' }}
}})))
cache.size = 10 * MB
"""

# It has no setting for the number of threads.
# Nor for the buffer of its socket: of a burst of 400 queries, some are lost.
SMARTDNS = """\
bind 127.0.0.1:{port}
server-tls 127.0.0.1:{upstream} -host-name {server} -tls-host-verify {server}
ca-file {ca}
cache-size 0
cache-persist no
speed-check-mode none
dualstack-ip-selection no
prefetch-domain no
serve-expired no
tcp-idle-time 600
log-level fatal
log-file {dir}/smartdns.log
audit-enable no
"""

DNSDIST = """\
setSecurityPollSuffix("")		-- it would ask the network
setLocal('127.0.0.1:{port}', {{ reusePort = false }})
setACL({{ '127.0.0.0/8' }})
setUDPSocketBufferSizes(4194304, 4194304)
setMaxTCPClientThreads(1)		-- the thread that does TLS
setTCPInternalPipeBufferSize(1048576)	-- to it; full, queries are lost
setMaxUDPOutstanding(65535)
newServer({{ address = '127.0.0.1:{upstream}', tls = 'openssl',
    subjectName = '{server}', caStore = '{ca}',
    maxInFlight = 65535, sockets = 1 }}):setUp()	-- no health checks
"""

STUBBY = """\
appdata_dir: "{dir}"
resolution_type: GETDNS_RESOLUTION_STUB
dns_transport_list:
  - GETDNS_TRANSPORT_TLS
tls_authentication: GETDNS_AUTHENTICATION_REQUIRED
tls_ca_file: "{ca}"
# The buffer of its socket cannot be set: of a burst of 400, some are lost.
# One connection that stays; no padding, as nobody else pads.
round_robin_upstreams: 0
idle_timeout: 60000
tls_query_padding_blocksize: 1
timeout: 5000
limit_outstanding_queries: 0
listen_addresses:
  - 127.0.0.1@{port}
upstream_recursive_servers:
  - address_data: 127.0.0.1
    tls_auth_name: "{server}"
    tls_port: {upstream}
"""


class Forwarder:
    """A program, the text of its configuration and its command line."""

    def __init__(self, name, package, config, *command):
        self.name = name
        self.package = package  # Debian's; None for one of ours
        self.config = config
        self.command = command

    def prepare(self, folder, build, ca, upstream, port):
        """Writes the configuration; returns the command line."""
        values = {
            "dir": folder, "build": build, "ca": ca, "port": port,
            "upstream": upstream, "server": SERVER,
            # stubby insists on the suffix; to dotproxy it is another format.
            "file": folder / (self.name + (
                ".conf" if self.package is None else ".yml")),
            "user": 'user "nobody"\n' if os.geteuid() == 0 else "",
        }
        values["file"].write_text(self.config.format(**values))
        return [word.format(**values) for word in self.command]


FORWARDERS = {f.name: f for f in (
    Forwarder("dotproxy", None, DOTPROXY,
              "{build}/sbin/dotproxy", "-d", "-f", "{file}"),
    Forwarder("unbound", "unbound", UNBOUND,
              "unbound", "-d", "-c", "{file}"),
    Forwarder("knot-resolver", "knot-resolver", KRESD,
              "kresd", "-n", "-c", "{file}", "{dir}"),
    Forwarder("smartdns", "smartdns", SMARTDNS,
              "smartdns", "-f", "-c", "{file}", "-p", "-"),
    Forwarder("dnsdist", "dnsdist", DNSDIST,
              "dnsdist", "--supervised", "--disable-syslog", "-C", "{file}"),
    Forwarder("stubby", "stubby", STUBBY,
              "stubby", "-C", "{file}", "-v", "3"),
    # The floor: no forwarder at all, plain UDP, the answers made on the spot.
    Forwarder("echo", None, "",
              "{build}/tests/echo", "127.0.0.1", "{port}"),
)}
FLOOR = "echo"
OURS = "dotproxy"
