# SPDX-License-Identifier: ISC
"""Real name servers with DNS over TLS, on a port of 127.0.0.1."""

import contextlib
import socket
import subprocess

from dnsclient import eventually
from programs import free_port

UNBOUND = """
server:
    directory: "{folder}"
    chroot: ""
    username: ""
    pidfile: "{folder}/unbound.pid"
    use-syslog: no
    interface: 127.0.0.1@{port}
    tls-port: {port}
    tls-service-key: "{key}"
    tls-service-pem: "{cert}"
    access-control: 127.0.0.0/8 allow
    local-zone: "test." static
    local-data: "www.test. A 192.0.2.1"
    local-data: "www.test. AAAA 2001:db8::1"
    local-data: "www.test. TXT hello"
remote-control:
    control-enable: no
"""

NSD = """
server:
    ip-address: 127.0.0.1@{port}
    tls-port: {port}
    tls-service-key: "{key}"
    tls-service-pem: "{cert}"
    username: ""
    zonesdir: "{folder}"
    database: ""
    pidfile: "{folder}/nsd.pid"
    xfrdfile: "{folder}/xfrd.state"
    zonelistfile: "{folder}/zone.list"
    logfile: "{folder}/nsd.log"
    server-count: 1
remote-control:
    control-enable: no
zone:
    name: zone.test
    zonefile: zone
    provide-xfr: 127.0.0.1 NOKEY
key:
    name: {tsig_name}
    algorithm: hmac-sha256
    secret: "{tsig_secret}"
zone:
    name: signed.test
    zonefile: signed
    provide-xfr: 127.0.0.1 {tsig_name}
"""

HOSTS = 6000    # enough for a transfer of several messages

ZONE = """
$ORIGIN {origin}
$TTL 300
@ SOA ns hostmaster 1 3600 900 604800 300
@ NS ns
ns A 127.0.0.1
www A 192.0.2.1
"""


def zone_text(origin="zone.test.", hosts=HOSTS):
    lines = [ZONE.format(origin=origin)]
    for i in range(30):
        lines.append('big TXT "%03d %s"\n' % (i, "x" * 200))
    for i in range(hosts):
        lines.append("host%d A 192.0.2.%d\n" % (i, i % 256))
        if hosts > HOSTS:
            lines.append('host%d TXT "%s"\n' % (i, "y" * 200))
    return "".join(lines)


def _accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


@contextlib.contextmanager
def _running(args, port):
    process = subprocess.Popen(
        args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: _accepts(port), what=args[0])
        yield port
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _settings(pki, folder):
    folder.mkdir()
    return {"folder": folder, "port": free_port(),
            "cert": pki.good.cert, "key": pki.good.key}


def unbound(pki, tmp_path):
    values = _settings(pki, tmp_path / "unbound")
    file = values["folder"] / "unbound.conf"
    file.write_text(UNBOUND.format(**values))
    return _running(["unbound", "-d", "-c", str(file)], values["port"])


def _transfer_settings(pki, folder, hosts):
    """A zone for everybody, and one for who has the key."""
    values = dict(_settings(pki, folder), plain=free_port(),
                  tsig_name=TSIG_NAME, tsig_secret=TSIG_SECRET)
    (folder / "zone").write_text(zone_text("zone.test.", hosts))
    (folder / "signed").write_text(zone_text("signed.test.", hosts))
    return values


def nsd(pki, tmp_path, hosts=HOSTS):
    values = _transfer_settings(pki, tmp_path / "nsd", hosts)
    file = values["folder"] / "nsd.conf"
    file.write_text(NSD.format(**values))
    return _running(["nsd", "-d", "-c", str(file)], values["port"])


# A signed zone of a bit of everything, the same behind each server.  What
# would vary from one answer to the next is turned off: answers in rotation,
# rates, cookies; an authoritative TTL stays what it is.

SIGNED = ZONE.format(origin="zone.test.") + """
@ MX 10 mail
@ TXT "of everything"
@ CAA 0 issue "ca.test"
mail A 192.0.2.25
mail AAAA 2001:db8::25
alias CNAME www
chain CNAME alias
away CNAME www.other.
*.wild TXT "wildcard"
a.b.c TXT "the names between are empty"
below NS ns.below
ns.below A 192.0.2.53
old DNAME new
www.new A 192.0.2.2
odd TYPE65280 \\# 4 01020304
svc HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1
"""

SIGNED_SIZES = 100, 450, 1000, 3000, 10000, 30000, 60000
TSIG_NAME = "key.test."
TSIG_SECRET = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"

NSD_SIGNED = """
server:
    ip-address: 127.0.0.1@{port}
    tls-port: {port}
    tls-service-key: "{key}"
    tls-service-pem: "{cert}"
    username: ""
    zonesdir: "{folder}"
    database: ""
    pidfile: "{folder}/nsd.pid"
    xfrdfile: "{folder}/xfrd.state"
    zonelistfile: "{folder}/zone.list"
    logfile: "{folder}/nsd.log"
    server-count: 1
    nsid: "ascii_server"
    round-robin: no
    rrl-ratelimit: 0
    answer-cookie: no
key:
    name: {tsig_name}
    algorithm: hmac-sha256
    secret: "{tsig_secret}"
remote-control:
    control-enable: no
zone:
    name: zone.test
    zonefile: zone
"""

UNBOUND_SIGNED = """
server:
    nsid: "ascii_server"
    incoming-num-tcp: 100
    rrset-roundrobin: no
    pad-responses: no
    local-zone: "test." transparent
    domain-insecure: "."
auth-zone:
    name: "zone.test"
    zonefile: "{folder}/zone"
    for-downstream: yes
    for-upstream: no
    fallback-enabled: no
forward-zone:
    name: "."
    forward-addr: 127.0.0.1@1
"""

KNOT = """
server:
    rundir: "{folder}"
    user: root
    listen: 127.0.0.1@{plain}
    nsid: "server"
    version: "1"
    identity: "server"
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: "{folder}/db"
log:
  - target: "{folder}/log"
    any: info
key:
  - id: {tsig_name}
    algorithm: hmac-sha256
    secret: {tsig_secret}
acl:
  - id: update
    key: {tsig_name}
    action: update
zone:
  - domain: zone.test
    storage: "{folder}"
    file: zone
    acl: update
"""

KNOT_TRANSFER = """
server:
    listen: 127.0.0.1@{plain}
    rundir: "{folder}"
    tcp-workers: 1
    tcp-io-timeout: 60000   # or it ends whoever reads slowly
    udp-workers: 1
    background-workers: 1
database:
    storage: "{folder}"
key:
  - id: {tsig_name}
    algorithm: hmac-sha256
    secret: {tsig_secret}
acl:
  - id: all
    address: 127.0.0.1
    action: transfer
  - id: signed
    key: {tsig_name}
    action: transfer
zone:
  - domain: zone.test
    storage: "{folder}"
    file: zone
    acl: all
  - domain: signed.test
    storage: "{folder}"
    file: signed
    acl: signed
"""

# Octets in, octets out: all it does is TLS, for Knot DNS, which has none
# before 3.3.
STUNNEL = """
foreground = yes
pid =
debug = err
[dot]
accept = 127.0.0.1:{port}
connect = 127.0.0.1:{plain}
cert = {cert}
key = {key}
TIMEOUTclose = 0
"""


class SignedZone:
    """The zone, its text signed once, and the anchor to validate with."""

    def __init__(self, folder):
        lines = [SIGNED]
        for size in SIGNED_SIZES:
            for i in range(-(-size // 200)):
                lines.append('size%d TXT "%05d %s"\n' % (
                    size, i, "x" * (min(size, 200) - 6)))
        (folder / "plain").write_text("".join(lines))
        name = subprocess.run(
            ["ldns-keygen", "-k", "-a", "ECDSAP256SHA256", "zone.test"],
            cwd=folder, check=True, capture_output=True,
            text=True).stdout.strip()
        subprocess.run(
            ["ldns-signzone", "-e", "20371231000000", "-f", "signed",
             "plain", name], cwd=folder, check=True)
        self.text = (folder / "signed").read_text()
        self.dnskey = (folder / (name + ".key")).read_text().strip()
        self.ds = (folder / (name + ".ds")).read_text().strip()


def _signed_settings(pki, folder, zone):
    values = _settings(pki, folder)
    (folder / "zone").write_text(zone.text)
    (folder / "db").mkdir()
    return dict(values, plain=free_port(), tsig_name=TSIG_NAME,
                tsig_secret=TSIG_SECRET)


@contextlib.contextmanager
def _behind_stunnel(args, values):
    file = values["folder"] / "stunnel.conf"
    file.write_text(STUNNEL.format(**values))
    with _running(args, values["plain"]):
        with _running(["stunnel4", str(file)], values["port"]) as port:
            yield port


def knot(pki, tmp_path, hosts=HOSTS):
    values = _transfer_settings(pki, tmp_path / "knot", hosts)
    file = values["folder"] / "knot.conf"
    file.write_text(KNOT_TRANSFER.format(**values))
    return _behind_stunnel(["knotd", "-c", str(file)], values)


def signed_nsd(pki, folder, zone):
    values = _signed_settings(pki, folder, zone)
    file = folder / "nsd.conf"
    file.write_text(NSD_SIGNED.format(**values))
    return _running(["nsd", "-d", "-c", str(file)], values["port"])


def signed_unbound(pki, folder, zone):
    values = _signed_settings(pki, folder, zone)
    file = folder / "unbound.conf"
    text = (UNBOUND + UNBOUND_SIGNED).replace(
        'local-zone: "test." static', "")
    file.write_text(text.format(**values))
    return _running(["unbound", "-d", "-c", str(file)], values["port"])


def signed_knot(pki, folder, zone):
    values = _signed_settings(pki, folder, zone)
    file = folder / "knot.conf"
    file.write_text(KNOT.format(**values))
    return _behind_stunnel(["knotd", "-c", str(file)], values)


SIGNED_SERVERS = {
    "nsd": signed_nsd, "unbound": signed_unbound, "knot": signed_knot,
}
