# SPDX-License-Identifier: ISC
"""Who an upstream is, who we are to it, and what is said if it is not so."""

import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import threading

import pytest

import programs
from dnsclient import eventually, is_right, is_servfail, make_query, udp
from test_memory import memory, who_knows


def works(proxy):
    query = make_query("www.test")
    return is_right(query, udp(proxy.address, query))


def pin_only(upstream, *pins):
    """Its block without a CA and without a name."""
    return "\n".join([
        'upstream "suspect" {',
        "address %s port %d" % (upstream.address, upstream.port),
        *('pin "%s"' % pin for pin in pins), "pin only", "}", ""])


def refused(proxy, upstream, said, shown):
    """No query gets there, and the log and dotproxyctl say why."""
    query = make_query("www.test", edns=1232)
    assert is_servfail(udp(proxy.address, query))
    assert upstream.stats()["queries"] == 0
    line = r'upstream "suspect" \(127\.0\.0\.1:%d\): ' % upstream.port
    assert re.search(line + said, proxy.log()), proxy.log()
    # In TLS 1.3 a client is refused after the handshake: up, for a moment.
    told = eventually(lambda: [
        up for up in proxy.ctl_json("show", "pool")["upstreams"]
        if up["down"]], what="an upstream that is down")[0]
    assert told["last_failure"] == shown
    assert shown in " ".join(proxy.ctl("show", "pool").stdout.split())
    assert shown in " ".join(proxy.ctl("show", "summary").stdout.split())


DATE = r"2\d\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC"
EXPIRED = "certificate has expired or is not yet valid"
UNTRUSTED = "certificate is not signed by a trusted CA"
NO_PIN = "no certificate matches a pin"


@pytest.mark.parametrize("leaf,said,shown", [
    ("wrong_name", "name: ", "certificate is for another name"),
    ("expired", "expiry: certificate has expired on %s, the clock says %s\n"
     % (DATE, DATE), EXPIRED),
    ("future", "expiry: certificate is not valid before %s, the clock says "
     r"%s: is it right\?" % (DATE, DATE), EXPIRED),
    ("stranger", "chain: unable to get local issuer", UNTRUSTED),
    ("alone", "chain: unable to get local issuer", UNTRUSTED),
])
def test_certificate_at_fault(make_proxy, make_upstream, pki, leaf, said,
                              shown):
    upstream = make_upstream(leaf=getattr(pki, leaf))
    proxy = make_proxy(upstream.block("suspect"), timeout="1s")
    refused(proxy, upstream, said, shown)


def test_intermediate_that_is_sent_along(make_proxy, make_upstream, pki):
    upstream = make_upstream(leaf=pki.chained)
    pin = 'pin "%s"' % pki.between.pin
    assert works(make_proxy(upstream.block("up", pin)))


def test_log_names_the_pin_there_is(make_proxy, upstream, pki):
    proxy = make_proxy(
        upstream.block("suspect", 'pin "%s"' % pki.stranger.pin),
        timeout="1s")
    refused(proxy, upstream, "pin: no certificate matches a pin; that of the "
            "upstream is " + re.escape(pki.good.pin), NO_PIN)


@pytest.mark.parametrize("leaf", ["stranger", "expired", "wrong_name"])
def test_pin_only(make_proxy, make_upstream, pki, leaf):
    leaf = getattr(pki, leaf)
    upstream = make_upstream(leaf=leaf)
    assert works(make_proxy(pin_only(upstream, pki.good.pin, leaf.pin)))


def test_pin_only_of_another_leaf(make_proxy, upstream, pki):
    proxy = make_proxy(pin_only(upstream, pki.stranger.pin), timeout="1s")
    refused(proxy, upstream, "pin: ", NO_PIN)


def test_pin_only_of_the_intermediate(make_proxy, make_upstream, pki):
    upstream = make_upstream(leaf=pki.chained)
    proxy = make_proxy(pin_only(upstream, pki.between.pin), timeout="1s")
    refused(proxy, upstream, "pin: ", NO_PIN)


def test_tls_version(make_proxy, make_upstream):
    upstream = make_upstream("tls12")
    proxy = make_proxy(
        upstream.block("suspect", "tls version 1.3"), timeout="1s")
    refused(proxy, upstream, "handshake: it has no version of TLS that is "
            "allowed here", "TLS handshake failed")
    assert works(make_proxy(upstream.block("up", "tls version 1.2")))


@pytest.mark.parametrize("ciphers,version,cipher", [
    ("TLS_CHACHA20_POLY1305_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256", "TLSv1.3",
     "TLS_CHACHA20_POLY1305_SHA256"),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", "TLSv1.2",
     "ECDHE-ECDSA-AES256-GCM-SHA384"),
])
def test_ciphers(make_proxy, upstream, ciphers, version, cipher):
    proxy = make_proxy(upstream.block("up", 'ciphers "%s"' % ciphers))
    assert works(proxy)
    conns = proxy.ctl_json("show", "pool")["upstreams"][0]["connections"]
    assert {(c["tls_version"], c["cipher"]) for c in conns
            if c["state"] == "ready"} == {(version, cipher)}


def test_unusable_cipher_is_refused_by_its_line(make_proxy, upstream):
    proxy = make_proxy(upstream)
    bad = upstream.block("up0", 'ciphers "ADH-AES128-SHA256"')
    proxy.configure(bad)
    line = 1 + proxy.file.read_text().splitlines().index('upstream "up0" {')
    done = proxy.ctl("reload")
    assert done.returncode == 1
    assert ('dotproxy.conf:%d: upstream "up0": ciphers: "ADH-AES128-SHA256" '
            "cannot be used" % line) in done.stderr
    assert works(proxy)


class Client:
    """A client certificate and its key, where the daemon finds them."""

    def __init__(self, folder, leaf):
        self.cert, self.key = str(folder / "me.pem"), str(folder / "me.key")
        self.put(leaf)
        self.line = 'client certificate "%s" key "%s"' % (self.cert, self.key)

    def put(self, leaf):
        shutil.copy(leaf.cert, self.cert)
        shutil.copy(leaf.key, self.key)
        os.chmod(self.key, 0o600)


@pytest.fixture
def client(pki, tmp_path):
    (tmp_path / "me").mkdir()
    return Client(tmp_path / "me", pki.issue("client", name="client.test"))


@pytest.mark.parametrize("knobs", [(), ("tls12",)])
def test_client_certificate(make_proxy, make_upstream, pki, client, knobs):
    upstream = make_upstream(*knobs, client_ca=pki.ca)
    assert works(make_proxy(upstream.block("up", client.line)))


CLIENT = "client certificate missing or not accepted"


@pytest.mark.parametrize("knobs", [(), ("tls12",)])
def test_client_certificate_that_is_wanted(
        make_proxy, make_upstream, pki, knobs):
    upstream = make_upstream(*knobs, client_ca=pki.ca)
    proxy = make_proxy(upstream.block("suspect"), timeout="1s")
    refused(proxy, upstream, "client certificate: the upstream wants one, "
            "none is given", CLIENT)


@pytest.mark.parametrize("knobs", [(), ("tls12",)])
def test_client_certificate_that_is_wrong(
        make_proxy, make_upstream, pki, client, knobs):
    upstream = make_upstream(*knobs, client_ca=pki.other_authority.file)
    proxy = make_proxy(upstream.block("suspect", client.line), timeout="1s")
    refused(proxy, upstream, "client certificate: the upstream does not "
            "accept ours: unknown CA", CLIENT)


def test_client_certificate_is_renewed_by_a_reload(
        make_proxy, make_upstream, pki, client):
    upstream = make_upstream(client_ca=pki.other_authority.file)
    proxy = make_proxy(upstream.block("up", client.line), timeout="1s")
    assert not works(proxy)
    client.put(pki.other_authority.issue("renewed", name="client.test"))
    proxy.reload()
    eventually(lambda: works(proxy), what="an answer")


def test_key_that_others_can_read(make_proxy, upstream, client):
    proxy = make_proxy(upstream.block("up", client.line))
    os.chmod(client.key, 0o640)
    done = proxy.ctl("reload")
    assert done.returncode == 1
    assert "key %s: group or others may read it" % client.key in done.stderr
    assert works(proxy)


def test_key_of_another_certificate(make_proxy, upstream, pki, client):
    proxy = make_proxy(upstream.block("up", client.line))
    shutil.copyfile(pki.good.key, client.key)
    done = proxy.ctl("reload")
    assert ("key %s: the key does not belong to the certificate"
            % client.key) in done.stderr
    assert works(proxy)


@pytest.mark.parametrize("name", ["me.pem", "me.key", "ca.pem"])
def test_fifo_in_place_of_a_file_stops_nobody(
        make_proxy, make_upstream, pki, client, tmp_path, name):
    """As somebody may put there who may write to the folder of a certificate."""
    file, kept = tmp_path / "me" / name, tmp_path / "kept"
    shutil.copy(pki.ca, tmp_path / "me" / "ca.pem")
    upstream = make_upstream(client_ca=pki.ca)
    block = upstream.block("up", client.line)
    proxy = make_proxy(
        block.replace(str(pki.ca), str(tmp_path / "me" / "ca.pem")))
    assert works(proxy)
    file.rename(kept)
    os.mkfifo(file)
    proxy.children_may_die = True
    os.kill(proxy.children()["pool"], signal.SIGKILL)
    eventually(lambda: "%s: not a regular file" % file in proxy.log(),
               what="the reason why the pool cannot start")
    assert proxy.ctl("show", "processes").returncode == 0
    kept.replace(file)
    eventually(lambda: works(proxy), what="an answer")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look")
@pytest.mark.skipif(programs.SANITIZED, reason="sanitizers keep what was freed")
def test_text_of_the_key_is_nowhere(make_proxy, make_upstream, pki, client):
    upstream = make_upstream(client_ca=pki.ca)
    proxy = make_proxy(upstream.block("up", client.line))
    assert works(proxy)
    proxy.reload()
    assert works(proxy)
    lines = pathlib.Path(client.key).read_text().splitlines()[1:-1]
    memories = {role: memory(pid) for role, pid in proxy.children().items()}
    memories["parent"] = memory(proxy.process.pid)
    assert lines
    assert not who_knows(memories, *(line[:40].encode() for line in lines))
    shown = programs.run(
        programs.DOTPROXY, "-nv", "-f", str(proxy.file)).stdout
    assert client.line in shown
    assert proxy.ctl("show", "config").stdout in shown
    for line in lines:
        assert line not in shown + proxy.log()


def test_unreadable_certificates_of_a_named_file(
        make_proxy, upstream, pki, tmp_path):
    file = tmp_path / "some.pem"
    file.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n"
                    "-----END CERTIFICATE-----\n"
                    + pathlib.Path(pki.ca).read_text())
    proxy = make_proxy(programs.upstream_block("up", upstream.port, file))
    assert works(proxy)
    assert "ca file %s: 1 certificates not readable" % file in proxy.log()


class Reset(threading.Thread):
    """Resets every connection as soon as a byte has come."""

    def __init__(self):
        super().__init__(daemon=True)
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            conn.recv(1)
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                            struct.pack("ii", 1, 0))
            conn.close()


def said_of(make_proxy, pki, port, *lines, address="127.0.0.1"):
    proxy = make_proxy(
        programs.upstream_block("bad", port, pki.ca, *lines, address=address),
        timeout="1s")
    assert is_servfail(udp(proxy.address, make_query("www.test")))
    return proxy.log()


def test_what_is_said_of_the_network(make_proxy, make_upstream, pki):
    port = programs.free_port()
    assert "connect: Connection refused" in said_of(make_proxy, pki, port)
    reset = Reset()
    assert re.search("(connect|handshake): Connection reset by peer",
                     said_of(make_proxy, pki, reset.port))
    reset.sock.close()
    stalled = make_upstream("stall")
    assert "handshake: timed out" in said_of(
        make_proxy, pki, stalled.port, "handshake timeout 300ms")


def test_one_warning_of_many_failures(make_proxy, make_upstream, pki):
    upstream = make_upstream(leaf=pki.stranger)
    proxy = make_proxy(upstream.block("suspect"), timeout="1s")
    for _ in range(20):
        assert is_servfail(udp(proxy.address, make_query("www.test")))
    assert upstream.stats()["connections"] > 3
    assert proxy.log().count("chain: ") == 1, proxy.log()


def test_show_pins(make_proxy, make_upstream, pki):
    chained = make_upstream(leaf=pki.chained)
    other = make_upstream(leaf=pki.stranger)
    proxy = make_proxy(
        chained.block("one", 'pin "%s"' % pki.between.pin),
        pin_only(other, pki.stranger.pin),
        programs.upstream_block("gone", programs.free_port(), pki.ca),
        workers=2)

    def pins():
        ups = proxy.ctl_json("show", "pins")["upstreams"]
        found = {up["name"]: [tuple(pin.values()) for pin in up["pins"]]
                 for up in ups}
        return found if found["one"] and found["suspect"] else None

    found = eventually(pins, what="pins")
    assert found["one"][:2] == [
        (pki.chained.pin, "CN=dot.test", True, False),
        (pki.between.pin, "CN=between", False, True)]
    assert len(found["one"]) == 3
    assert found["suspect"] == [
        (pki.stranger.pin, "CN=dot.test", True, True)]
    assert found["gone"] == []
    text = proxy.ctl("show", "pins").stdout
    assert '  # its own: CN=dot.test\n  pin "%s"\n' % pki.chained.pin in text
    assert "gone\n  # not connected yet\n" in text
