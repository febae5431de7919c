# SPDX-License-Identifier: ISC
"""What many of something cost in memory: of our processes, not the kernel."""

import pathlib
import resource
import socket

import pytest

from dnsclient import eventually, make_query, udp, udp_socket
from programs import BUILD, is_flawless, load

DEBIAN_CAS = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
KIB = 1024

# The allocator of the sanitizers is not the one that is measured.
pytestmark = pytest.mark.skipif(
    "sanitize" in str(BUILD) or str(BUILD).endswith("san"),
    reason="sanitizers take memory of their own")


def pss(daemon):
    """Bytes of all processes; pages they share are counted once."""
    total = 0
    for pid in daemon.pids():
        text = pathlib.Path("/proc/%d/smaps_rollup" % pid).read_text()
        total += sum(int(line.split()[1]) * KIB for line in text.splitlines()
                     if line.startswith("Pss:"))
    return total


def warm(daemon):
    assert is_flawless(load(daemon.address, "-q", "50", "-n", "2000"))
    return pss(daemon)


def test_at_rest(proxy):
    print("at rest:", warm(proxy))
    assert pss(proxy) <= 8 * KIB * KIB


def test_idle_tcp_clients(make_proxy, upstream):
    count = min(4000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
    proxy = make_proxy(upstream, settings="client {\n"
                       "max tcp connections %d\n"
                       "max tcp connections per client %d\n"
                       "tcp read timeout 1h\n}"
                       % (count + count // 8, count))
    before = warm(proxy)
    clients = [socket.create_connection(proxy.address) for _ in range(count)]
    eventually(lambda: proxy.ctl_json("show", "stats")["listener"]["tcp_open"]
               == count, what="clients")
    used = (pss(proxy) - before) / count
    for client in clients:
        client.close()
    print("bytes each:", used)
    assert used <= 2 * KIB, used


def test_queries_in_flight(make_proxy, upstream):
    count = 40000
    proxy = make_proxy(upstream, timeout="1m",
                       settings="client { max inflight 65536 }")
    before = warm(proxy)
    query = make_query("drop.test").to_wire()
    with udp_socket(proxy.address) as sock:
        for sent in range(1, count + 1):
            sock.send(sent.to_bytes(2, "big") + query[2:])
            if sent % 1000 == 0:    # no more than the socket holds
                eventually(lambda: proxy.ctl_json("show", "stats")
                           ["listener"]["in_flight"] == sent, what="queries")
        used = (pss(proxy) - before) / count
    # Each is held by the listener, for a new pool, and by the pool.
    print("bytes each:", used)
    assert used <= KIB, used


def test_idle_tls_connections(make_proxy, make_upstream, tmp_path):
    """With all the certificates Debian trusts, which are kept once."""
    bundle = tmp_path / "cas.pem"

    def cost(size):
        """After as many queries, over as many connections as there may be."""
        upstream = make_upstream("delay=200")
        bundle.write_text(DEBIAN_CAS.read_text()
                          + pathlib.Path(upstream.pki.ca).read_text())
        block = upstream.block("up", "stale timeout 1h", "pool size %d" % size)
        proxy = make_proxy(block.replace(upstream.pki.ca, str(bundle)),
                           settings="hedge 0%\nclient {\n"
                           "\tmax inflight 65536\n}")
        assert is_flawless(load(proxy.address, "-q", "8000", "-n", "60000"))
        return pss(proxy), upstream.stats()["open"]

    many, few = cost(64), cost(1)
    used = (many[0] - few[0]) / (many[1] - few[1])
    print("bytes a connection:", used, many, few)
    assert many[1] >= 32
    assert used <= 100 * KIB, used


def test_dials_cost_the_same_with_many_certificates(
        make_proxy, make_upstream, tmp_path):
    """The CA file is read once, not for each connection."""
    bundle = tmp_path / "cas.pem"
    dials = 200

    def cost(upstream, block):
        """CPU time of a dial in the pool, with one query, in ns."""
        proxy = make_proxy(block)
        pool = pathlib.Path("/proc/%d/schedstat" % proxy.child("pool"))
        assert udp(proxy.address, make_query("first.test")).answer
        was, before = pool.read_text(), upstream.stats()["connections"]
        for i in range(dials):
            assert upstream.command("close") == "ok"
            assert udp(proxy.address, make_query("n%d.test" % i)).answer
        spent = int(pool.read_text().split()[0]) - int(was.split()[0])
        return spent / (upstream.stats()["connections"] - before)

    first, second = make_upstream(), make_upstream()
    bundle.write_text(DEBIAN_CAS.read_text()
                      + pathlib.Path(second.pki.ca).read_text())
    one = cost(first, first.block("one"))
    many = cost(second, second.block("many").replace(
        second.pki.ca, str(bundle)))
    print("us a dial: %.0f, %.0f with many" % (one / 1000, many / 1000))
    # To read the bundle takes some 20 ms.
    assert many < 4 * one


def test_still_answers(make_proxy, upstream):
    """A daemon that has had 10,000 queries in flight is as it was."""
    proxy = make_proxy(upstream, timeout="20s",
                       settings="client { max inflight 65536 }")
    result = load(proxy.address, "-d", "delay-1000.test", "-c", "4",
                  "-r", "10000", "-q", "40000", "-n", "15000", "-w", "20")
    assert is_flawless(result), result
    assert udp(proxy.address, make_query("www.test")).answer
