# SPDX-License-Identifier: ISC
"""
What leaves the machine: with everything in a network namespace of its own and
every packet looked at, whatever the upstream does.
"""

import os
import signal
import socket
import time

import pytest

import programs
from dnsclient import eventually, is_right, make_query, tcp, udp, udp_socket
from netns import Capture, Namespace

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="a network namespace needs root")

UPSTREAM = "127.0.0.9"
SECRET = "canaryname"
ICMP, ICMPV6 = 1, 58


@pytest.fixture
def namespace():
    space = Namespace()
    yield space
    space.close()


def ask(proxy, label, times=3):
    """Asks and does not wait: what comes of it is not the question here."""
    for i in range(times):
        query = make_query("%s.n%d.%s.test" % (label, i, SECRET), edns=1232)
        with udp_socket(proxy.address) as sock:
            sock.send(query.to_wire())
            time.sleep(0.02)


def live_through_faults(pki, make_proxy):
    """Returns the daemon, the upstream's port, and all packets."""
    upstream = programs.Upstream(pki, "jitter=20", address=UPSTREAM)
    port = upstream.port
    capture = Capture()
    proxy = make_proxy(upstream, timeout="1s", settings="retries 4")
    assert is_right(query := make_query(SECRET + ".test"),
                    udp(proxy.address, query))
    tcp(proxy.address6, make_query("tcp.%s.test" % SECRET))
    for label in ("close", "rst", "half", "garbage", "raw", "wrongid",
                  "wrongq", "drop", "zero", "size-9000", "www"):
        ask(proxy, label)
    upstream.set("reset")
    assert upstream.command("close") == "ok"
    ask(proxy, "www")
    upstream.go_down()
    ask(proxy, "www")
    proxy.kill_child("pool")
    ask(proxy, "www")
    upstream.come_up()
    proxy.reload()
    ask(proxy, "www")
    upstream.process.send_signal(signal.SIGKILL)
    upstream.process.wait()
    ask(proxy, "www")
    proxy.kill_child("listener")
    upstream = programs.Upstream(pki, address=UPSTREAM, port=port)
    eventually(lambda: is_right(query, udp(proxy.address, query)))
    proxy.stop()
    packets = capture.finish()
    upstream.stop()
    return proxy, port, packets


def is_client_traffic(packet, port):
    if packet.interface != "lo":
        return False
    if packet.protocol in (ICMP, ICMPV6):   # a client is there no more
        skip = 8 + (20 if packet.protocol == ICMP else 40)
        return packet.payload[skip:skip + 2] == port.to_bytes(2, "big")
    return any(packet.has_end(protocol, (host, port))
               for protocol in (socket.IPPROTO_UDP, socket.IPPROTO_TCP)
               for host in ("127.0.0.1", "::1"))


def test_nothing_goes_anywhere_but_to_the_upstream_over_tls(
        namespace, pki, make_proxy):
    proxy, port, packets = namespace.run(live_through_faults, pki, make_proxy)
    to_upstream = [p for p in packets
                   if p.has_end(socket.IPPROTO_TCP, (UPSTREAM, port))]
    clients = [p for p in packets if is_client_traffic(p, proxy.port)]
    known = {*map(id, to_upstream), *map(id, clients)}
    assert [p for p in packets if id(p) not in known] == []
    secret = SECRET.encode()
    assert any(secret in p.payload.lower() for p in clients)
    assert len(to_upstream) > 100
    assert not [p for p in to_upstream if secret in p.payload.lower()]


def test_a_packet_that_strays_would_be_seen(namespace):
    def stray():
        capture = Capture()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"x", ("192.0.2.1", 53))
            time.sleep(0.1)
        return capture.finish()

    assert "out0" in [packet.interface for packet in namespace.run(stray)]
