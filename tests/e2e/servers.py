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
    name: key.test
    algorithm: hmac-sha256
    secret: "{secret}"
zone:
    name: signed.test
    zonefile: signed
    provide-xfr: 127.0.0.1 key.test
"""

# Version 3.2 has no DNS over TLS: socat puts it in front.
KNOT = """
server:
    listen: 127.0.0.1@{inner}
    rundir: "{folder}"
    tcp-workers: 1
    tcp-io-timeout: 60000   # or it ends whoever reads slowly
    udp-workers: 1
    background-workers: 1
database:
    storage: "{folder}"
key:
  - id: key.test
    algorithm: hmac-sha256
    secret: {secret}
acl:
  - id: all
    address: 127.0.0.1
    action: transfer
  - id: signed
    key: key.test
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

SECRET = "c2VjcmV0IGZvciB0aGUgdGVzdHMgb25seQ=="

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


def _write_zones(folder, hosts):
    (folder / "zone").write_text(zone_text("zone.test.", hosts))
    (folder / "signed").write_text(zone_text("signed.test.", hosts))


def nsd(pki, tmp_path, hosts=HOSTS):
    values = _settings(pki, tmp_path / "nsd")
    file = values["folder"] / "nsd.conf"
    file.write_text(NSD.format(**values, secret=SECRET))
    _write_zones(values["folder"], hosts)
    return _running(["nsd", "-d", "-c", str(file)], values["port"])


@contextlib.contextmanager
def knot(pki, tmp_path, hosts=HOSTS):
    values = _settings(pki, tmp_path / "knot")
    inner = free_port()
    file = values["folder"] / "knot.conf"
    file.write_text(KNOT.format(**values, secret=SECRET, inner=inner))
    _write_zones(values["folder"], hosts)
    tls = ("OPENSSL-LISTEN:%d,bind=127.0.0.1,fork,reuseaddr,verify=0,"
           "cert=%s,key=%s" % (values["port"], values["cert"], values["key"]))
    with _running(["knotd", "-c", str(file)], inner), \
            _running(["socat", tls, "TCP:127.0.0.1:%d" % inner],
                     values["port"]) as port:
        yield port
