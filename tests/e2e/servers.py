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
"""

HOSTS = 6000    # enough for a transfer of several messages

ZONE = """
$ORIGIN zone.test.
$TTL 300
@ SOA ns hostmaster 1 3600 900 604800 300
@ NS ns
ns A 127.0.0.1
www A 192.0.2.1
"""


def zone_text():
    lines = [ZONE]
    for i in range(30):
        lines.append('big TXT "%03d %s"\n' % (i, "x" * 200))
    for i in range(HOSTS):
        lines.append("host%d A 192.0.2.%d\n" % (i, i % 256))
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


def nsd(pki, tmp_path):
    values = _settings(pki, tmp_path / "nsd")
    file = values["folder"] / "nsd.conf"
    file.write_text(NSD.format(**values))
    (values["folder"] / "zone").write_text(zone_text())
    return _running(["nsd", "-d", "-c", str(file)], values["port"])
