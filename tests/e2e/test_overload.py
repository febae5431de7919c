# SPDX-License-Identifier: ISC
"""More than can be answered: the newest goes, those in line are answered.

The upstream answers so many a second, in order, and is asked for twice that.
What is compared are counts; how long anything takes does not matter.
"""

import os
import signal
import socket
import struct
import time

import pytest

from dnsclient import eventually, frame, is_right, make_query, tcp, udp
from programs import free_port, is_flawless, load


def every_query_ended(result):
    return (result["answered"] + result["errors"] == result["sent"]
            and result["lost"] == result["wrong"] == 0
            and result["duplicate"] == 0)


def in_flight(proxy):
    counters = proxy.ctl_json("show", "stats")
    return tuple(counters[role]["in_flight"] for role in ("listener", "pool"))


def listener_count(proxy, name):
    return proxy.ctl_json("show", "stats")["listener"][name]


def copies(proxy):
    """Sent for late answers: a few of a hundred, and overload is late."""
    counters = proxy.ctl_json("show", "stats")["pool"]
    return counters["hedges"] + counters["rescues"]


def test_those_in_line_are_answered(make_proxy, make_upstream):
    """A line that lasts longer than a query may go on without being overtaken:
    to end the oldest would waste what the upstream is about to answer."""
    upstream = make_upstream("rate=200")
    proxy = make_proxy(upstream, settings="client { max inflight 256 }")
    result = load(proxy.address, "-r", "400", "-q", "2000", "-n", "1600")
    assert every_query_ended(result), result
    asked = upstream.stats()["queries"]
    assert asked < 0.8 * result["sent"], "there was no overload"
    assert result["answered"] >= 0.95 * (asked - copies(proxy)), result


def test_the_line_gets_shorter_than_the_timeout(make_proxy, make_upstream):
    """The table would hold queries for 10 seconds, who asks has 2."""
    upstream = make_upstream("rate=400")
    proxy = make_proxy(upstream, timeout="2s",
                       settings="client { max inflight 4096 }")
    result = load(proxy.address, "-r", "1600", "-q", "16000", "-n", "9600")
    assert every_query_ended(result), result
    asked = upstream.stats()["queries"]
    assert asked < 0.6 * result["sent"], "there was no overload"
    assert result["answered"] >= 0.9 * (asked - copies(proxy)), result


@pytest.mark.parametrize("timeout", [2, 10])
def test_a_stall_is_no_line(
        make_proxy, make_upstream, background_load, timeout):
    """Who asks while the pool stands still has its answer then, if there still
    is time; that so many wait for so long says nothing of the upstream."""
    proxy = make_proxy(make_upstream("delay=100"), timeout="%ds" % timeout)
    asking = background_load(proxy.address, "-r", "600", "-q", "6000",
                             "-T", "5", "-w", "20")
    eventually(lambda: listener_count(proxy, "answered") > 50)
    pool = proxy.child("pool")
    os.kill(pool, signal.SIGSTOP)
    time.sleep(3)
    os.kill(pool, signal.SIGCONT)
    result = asking.result()
    assert proxy.child("pool") == pool
    counters = proxy.ctl_json("show", "stats")["listener"]
    assert every_query_ended(result), result
    assert counters["failed_busy"] == 0, counters
    assert result["errors"] == counters["failed_timeout"], counters
    assert timeout < 3 or result["errors"] == 0, result


def test_udp_leaves_tcp_a_way_in(make_proxy, make_upstream, background_load):
    upstream = make_upstream("rate=200")
    proxy = make_proxy(upstream, settings="client { max inflight 64 }")
    flood = background_load(
        proxy.address, "-r", "1000", "-q", "2000", "-T", "3")
    for i in range(8):
        query = make_query("tcp%d.test" % i)
        assert is_right(query, tcp(proxy.address, query))
    result = flood.result()
    assert every_query_ended(result), result
    assert result["errors"] > result["sent"] / 2, "there was no overload"


def test_who_floods_does_not_starve_others(
        make_proxy, make_upstream, background_load):
    """Neither those with a few queries, nor while they ask many at once."""
    proxy = make_proxy(make_upstream("rate=400"),
                       settings="client { max inflight 64 }")
    flood = background_load(proxy.address, "-b", "127.0.0.2",
                            "-r", "2000", "-q", "4000", "-T", "4")
    eventually(lambda: listener_count(proxy, "failed_busy") > 100,
               what="overload")
    assert is_flawless(load(proxy.address, "-b", "127.0.0.3",
                            "-q", "1", "-r", "50", "-n", "100"))
    result = flood.result()
    assert every_query_ended(result), result
    assert result["errors"] > result["sent"] / 2, "there was no overload"


def test_clients_take_turns(make_proxy, make_upstream, background_load):
    """Behind an upstream slower than who floods it: the line is his alone, and
    the upstream is as busy as it can be."""
    proxy = make_proxy(make_upstream("rate=1000"), timeout="4s")
    assert is_flawless(load(proxy.address, "-q", "1", "-n", "50"))
    flood = background_load(proxy.address, "-b", "127.0.0.2",
                            "-r", "4000", "-q", "20000", "-T", "10")
    eventually(lambda: listener_count(proxy, "failed_busy") > 5000,
               what="overload")
    victim = load(proxy.address, "-b", "127.0.0.3",
                  "-q", "200", "-r", "50", "-n", "200")
    assert is_flawless(victim), victim
    result = flood.result()
    assert every_query_ended(result), result
    assert result["errors"] > result["sent"] / 2, "there was no overload"
    assert result["answered"] > 0.75 * 10 * 1000, result
    assert victim["p50_us"] < result["p99_us"] / 10, (victim, result)


def test_what_is_repeated_is_asked_once(make_proxy, make_upstream):
    upstream = make_upstream("delay=300")
    proxy = make_proxy(upstream, settings="hedge 0%")
    wire = make_query("www.test").to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.connect(proxy.address)
        for _ in range(3):
            for _ in range(5):
                sock.send(wire)
            assert sock.recv(512)[:2] == wire[:2]
    assert upstream.stats()["queries"] == 3
    counters = proxy.ctl_json("show", "stats")["listener"]
    assert counters["dropped_repeated"] == 12
    assert counters["answered"] == 3


def test_each_address_that_is_asked_answers(make_proxy, make_upstream):
    """Some resolvers ask all their servers at once, over one socket."""
    port = free_port()
    make_proxy(make_upstream("delay=300"), settings="hedge 0%",
               listen=["0.0.0.0 port %d" % port])
    wire = make_query("www.test").to_wire()
    asked = [("127.0.0.%d" % i, port) for i in (1, 2, 3)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.bind(("127.0.0.1", 0))
        for address in asked:
            sock.sendto(wire, address)
        got = sorted(sock.recvfrom(512)[1] for _ in asked)
    assert got == asked


def test_rate_limit_sends_to_tcp(make_proxy, make_upstream):
    upstream = make_upstream()
    proxy = make_proxy(upstream,
                       settings="client { rate limit 1 burst 5 }")
    queries = [make_query("n%d.test" % i) for i in range(40)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.connect(proxy.address)
        for query in queries:
            sock.send(query.to_wire())
        eventually(lambda: listener_count(proxy, "queries_udp") == 40
                   and in_flight(proxy)[0] == 0, what="all to be judged")
        counters = proxy.ctl_json("show", "stats")["listener"]
        passed = counters["answered"]
        told, dropped = (counters[end + "_limited"]
                         for end in ("refused", "dropped"))
        assert passed >= 5 and passed + told + dropped == 40
        assert 0 <= told - dropped <= 1 and told > 10
        replies = [sock.recv(4096) for _ in range(passed + told)]
    cut = [reply for reply in replies if reply[2] & 2]
    assert len(cut) == told
    sizes = {query.to_wire()[:2]: len(query.to_wire()) for query in queries}
    assert all(len(reply) <= sizes[reply[:2]] for reply in cut)
    assert upstream.stats()["queries"] == passed
    assert all(is_right(query, tcp(proxy.address, query))
               for query in queries[:10])
    proxy.configure(upstream)
    proxy.reload()
    assert all(is_right(query, udp(proxy.address, query))
               for query in queries)


def test_who_is_never_answered_keeps_nobody_out(
        make_proxy, make_upstream, background_load):
    """Names that no server answers fill the table again and again."""
    proxy = make_proxy(make_upstream(),
                       settings="client { max inflight 80 }")
    stuck = background_load(
        proxy.address, "-d", "drop.test", "-r", "150", "-q", "2000", "-T", "3")
    result = load(proxy.address, "-q", "1", "-n", "300", "-r", "120")
    assert result["answered"] >= 0.9 * result["sent"], result
    assert stuck.result()["answered"] == 0


def test_it_is_all_right_afterwards(make_proxy, make_upstream):
    upstream = make_upstream("rate=200")
    proxy = make_proxy(upstream, settings="client { max inflight 64 }")
    assert load(proxy.address, "-q", "500", "-n", "2000")["errors"] > 0
    upstream.set("rate=0")
    assert is_flawless(load(proxy.address, "-q", "28", "-n", "1000"))
    query = make_query("www.test")
    assert is_right(query, udp(proxy.address, query))
    counters = proxy.ctl_json("show", "stats")
    assert counters["listener"]["in_flight"] == 0


def test_who_has_gone_leaves_others_room(make_proxy, make_upstream):
    """
    A client over TCP asks what is never answered, and leaves: its queries keep
    its places until others that came later are answered, and then nobody's.
    """
    proxy = make_proxy(make_upstream(), timeout="1m",
                       settings="client { max inflight 256 }")
    silent = frame(make_query("drop.test").to_wire())
    query = make_query("www.test")
    for _ in range(5):
        with socket.create_connection(proxy.address) as sock:
            sock.sendall(190 * silent)
            eventually(lambda: in_flight(proxy)[0] == 190, what="queries")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                            struct.pack("ii", 1, 0))
        eventually(lambda: in_flight(proxy)[0] == 0, what="the end of them")
        assert in_flight(proxy)[1] >= 190
        time.sleep(0.3)
        assert is_right(query, udp(proxy.address, query))
    counters = proxy.ctl_json("show", "stats")
    assert counters["listener"]["failed_busy"] == 0
    assert counters["listener"]["abandoned"] == 950
    assert (counters["pool"]["cancelled"]
            + counters["pool"]["in_flight"]) == 950
    assert counters["pool"]["in_flight"] < 256
