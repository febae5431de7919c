# SPDX-License-Identifier: ISC
"""Zone transfers: whole, in step with the client, and broken off."""

import os
import pathlib
import socket
import ssl
import time

import dns.message
import dns.rcode
import dns.rdatatype
import pytest

import servers
from dnsclient import (
    Stream, ede_codes, eventually, frame, make_query, tcp, udp)
from programs import (
    SANITIZED, descendants, end_process, executable, run, upstream_block)

BIG = 100000    # names: with their texts more than sockets keep
KEY = "hmac-sha256:key.test:" + servers.TSIG_SECRET


def direct(port, ca):
    context = ssl.create_default_context(cafile=ca)
    return Stream(("127.0.0.1", port), context, "dot.test")


def serves(port, ca):
    """The port is open long before a large zone is there."""
    try:
        with direct(port, ca) as stream:
            return stream.ask(make_query("www.zone.test").to_wire())
    except (OSError, EOFError):
        return False


@pytest.fixture(params=["nsd", "knot"])
def big(request, pki, tmp_path):
    """A port with a large zone; zone.test is free, signed.test needs a key."""
    server = getattr(servers, request.param)
    with server(pki, tmp_path, hosts=BIG) as port:
        eventually(lambda: serves(port, pki.ca), 60)
        yield port


@pytest.fixture
def proxy(make_proxy, big, pki):
    # What lies in its own socket keeps this client busy for a while.
    return make_proxy(upstream_block("big", big, pki.ca),
                      settings="client { tcp read timeout 60s }")


def axfr(name="zone.test"):
    return make_query(name, "AXFR", id=4711).to_wire()


def count_soas(wire):
    message = dns.message.from_wire(wire, xfr=True, one_rr_per_rrset=True)
    assert message.rcode() == dns.rcode.NOERROR
    return sum(rrset.rdtype == dns.rdatatype.SOA for rrset in message.answer)


def rest(stream, soas):
    """The messages of a transfer up to its last, soas having been seen."""
    wires = []
    while soas < 2:
        wires.append(stream.receive())
        soas += count_soas(wires[-1])
    return wires


def gauge(proxy, name="transfers_open"):
    return proxy.ctl_json("show", "stats")["listener"][name]


def resident(pid):
    text = pathlib.Path("/proc/%d/smaps_rollup" % pid).read_text()
    return int(text.split("Rss:")[1].split()[0]) * 1024


def test_every_byte_is_the_servers(proxy, big, pki):
    with Stream(proxy.address) as through:
        through.send(axfr())
        seen = rest(through, 0)
        # The connection is there for more.
        answer = through.ask(make_query("www.zone.test").to_wire())
        assert dns.message.from_wire(answer).rcode() == dns.rcode.NOERROR
    with direct(big, pki.ca) as stream:
        stream.send(axfr())
        assert seen == rest(stream, 0)
    assert len(seen) > 30
    eventually(lambda: gauge(proxy) == 0)


def test_dig_transfers_with_tsig(proxy):
    done = run("dig", "@127.0.0.1", "-p", str(proxy.port), "signed.test",
               "AXFR", "-y", KEY, timeout=60)
    assert "XFR size: %d records" % (2 * BIG + 35) in done.stdout, \
        done.stdout[-500:]
    assert "verify failure" not in done.stdout + done.stderr
    denied = run("dig", "@127.0.0.1", "-p", str(proxy.port), "signed.test",
                 "AXFR")
    assert "Transfer failed" in denied.stdout


def test_kdig_transfers_with_tsig(proxy):
    done = run("kdig", "@127.0.0.1", "-p", str(proxy.port), "signed.test",
               "AXFR", "-y", KEY, timeout=60)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr
    assert done.stdout.count("\nhost") == 2 * BIG
    done = run("kdig", "@127.0.0.1", "-p", str(proxy.port), "zone.test",
               "IXFR=1")
    assert done.returncode == 0, done.stdout + done.stderr


def test_client_that_does_not_read_costs_little(proxy, big, pki, request):
    # Knot serves nobody else on the thread that waits for a slow one.
    others = request.node.callspec.params["big"] != "knot"
    proxy_pids = [proxy.child(role) for role in ("listener", "pool")]
    # What one transfer leaves is not what a stalled one holds.
    with Stream(proxy.address) as stream:
        stream.send(axfr())
        rest(stream, 0)
    before = [resident(pid) for pid in proxy_pids]
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(10)
    sock.connect(proxy.address)
    with sock:
        sock.sendall(frame(axfr()))
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            if others:
                answer = udp(proxy.address, make_query("www.zone.test"))
                assert answer.rcode() == dns.rcode.NOERROR
            else:
                time.sleep(0.1)
        after = [resident(pid) for pid in proxy_pids]
        assert gauge(proxy) == 1
        for old, new in zip(before, after):
            # A sanitizer keeps what was freed.
            assert SANITIZED or new - old < 1 << 20
        # It goes on where it was.
        stream = Stream.__new__(Stream)
        stream.sock = sock
        seen = rest(stream, 0)
    with direct(big, pki.ca) as stream:
        stream.send(axfr())
        assert seen == rest(stream, 0)


def test_client_that_vanishes_frees_its_place(proxy):
    for _ in range(20):
        with Stream(proxy.address) as stream:
            stream.send(axfr())
            stream.receive()
    eventually(lambda: gauge(proxy) == 0)
    eventually(lambda: proxy.ctl_json(
        "show", "stats")["pool"]["in_flight"] == 0)


def test_limit(make_proxy, nsd, pki):
    proxy = make_proxy(upstream_block("nsd", nsd, pki.ca),
                       settings="client { max transfers 0 }")
    answer = tcp(proxy.address, make_query("zone.test", "AXFR", edns=1232))
    assert answer.rcode() == dns.rcode.REFUSED
    assert ede_codes(answer) == [0]


def test_axfr_over_udp_is_not_implemented(make_proxy, nsd, pki):
    proxy = make_proxy(upstream_block("nsd", nsd, pki.ca))
    answer = udp(proxy.address, make_query("zone.test", "AXFR", edns=1232))
    assert answer.rcode() == dns.rcode.NOTIMP
    assert ede_codes(answer) == [21]


def test_upstream_that_dies_in_the_middle(make_proxy, pki, tmp_path):
    with servers.nsd(pki, tmp_path, hosts=BIG) as port:
        eventually(lambda: serves(port, pki.ca), 60)
        proxy = make_proxy(upstream_block("nsd", port, pki.ca))
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(20)
        sock.connect(proxy.address)
        sock.sendall(frame(axfr()))
        stream = Stream.__new__(Stream)
        stream.sock = sock
        stream.receive()
        for pid in descendants(os.getpid()):
            if executable(pid).endswith("/nsd"):
                end_process(pid)
    with sock, pytest.raises((EOFError, ConnectionResetError)):
        rest(stream, 1)


def test_pool_that_dies_in_the_middle(proxy):
    with Stream(proxy.address) as stream:
        stream.send(axfr())
        stream.receive()
        proxy.kill_child("pool")
        # What was sent may be read; it is not the whole.
        with pytest.raises((EOFError, ConnectionResetError)):
            while True:
                stream.receive()
    # The next pool is ready in a while.
    eventually(lambda: proxy.ctl("show", "stats").returncode == 0)
    eventually(lambda: gauge(proxy) == 0)
    with Stream(proxy.address) as stream:
        stream.send(axfr())
        assert len(rest(stream, 0)) > 30
