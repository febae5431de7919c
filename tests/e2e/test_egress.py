# SPDX-License-Identifier: ISC
"""Upstreams that fail, lie, stall and come back."""

import re
import socket
import threading
import time

import dns.message
import dns.update
import pytest

from dnsclient import (
    ede_codes, eventually, is_right, is_servfail, make_query, tcp, udp,
    udp_socket)
from programs import free_port, is_flawless, load, upstream_block

SLACK = 4       # seconds a loaded machine may add to a time-out

# Bounds which make one silent upstream cost less than a query has.
IMPATIENT = (
    "connect timeout 300ms", "handshake timeout 300ms", "read timeout 300ms")

FAULTS = [
    "drop", "stall", "close", "rst", "half", "garbage", "raw", "zero",
    "wrongid", "wrongq", "delay=60000", "accept-delay=60000",
]


def fails_in_time(proxy, seconds, edns=1232):
    """Asks, expects SERVFAIL before the query timeout; returns its EDEs."""
    query = make_query("www.test", edns=edns)
    start = time.monotonic()
    answer = udp(proxy.address, query)
    assert time.monotonic() - start < seconds + SLACK
    assert is_servfail(answer), answer
    assert answer.id == query.id
    assert answer.question == query.question
    assert (answer.edns >= 0) == (edns is not None)
    return ede_codes(answer)


@pytest.mark.parametrize("leaf,cause", [
    ("wrong_name", "name|match"),
    ("expired", "expired"),
    ("stranger", "issuer|self.signed|unknown|unable to get|trust|verif"),
])
def test_certificate_that_must_not_pass(
        make_proxy, make_upstream, pki, leaf, cause):
    bad = make_upstream(leaf=getattr(pki, leaf))
    proxy = make_proxy(bad.block("suspect"), timeout="1s")
    assert fails_in_time(proxy, 1) == [0]
    assert fails_in_time(proxy, 1, edns=None) == []
    assert bad.stats()["queries"] == 0
    told = [line for line in proxy.log().splitlines() if "suspect" in line]
    assert any(re.search(cause, line, re.I) for line in told), proxy.log()


def test_pin_of_the_certificate_passes(make_proxy, upstream, pki):
    proxy = make_proxy(upstream.block("up", 'pin "%s"' % pki.good.pin))
    query = make_query("www.test")
    assert is_right(query, udp(proxy.address, query))


def test_one_pin_of_several_is_enough(make_proxy, upstream, pki):
    pins = ['pin "%s"' % leaf.pin for leaf in (pki.stranger, pki.good)]
    proxy = make_proxy(upstream.block("up", *pins))
    query = make_query("www.test")
    assert is_right(query, udp(proxy.address, query))


def test_pin_of_another_key_does_not_pass(make_proxy, upstream, pki):
    proxy = make_proxy(
        upstream.block("pinned", 'pin "%s"' % pki.stranger.pin), timeout="1s")
    assert fails_in_time(proxy, 1) == [0]
    assert upstream.stats()["queries"] == 0
    assert re.search("pinned.*pin", proxy.log().replace("\n", " "))


def test_upstream_without_tls_1_3(make_proxy, make_upstream):
    proxy = make_proxy(make_upstream("tls12"))
    query = make_query("www.test")
    assert is_right(query, udp(proxy.address, query))


def test_upstream_over_ipv6(make_proxy, make_upstream):
    proxy = make_proxy(make_upstream(address="::1"))
    query = make_query("www.test")
    assert is_right(query, udp(proxy.address, query))


@pytest.mark.parametrize("fault", FAULTS)
def test_another_upstream_answers_for_a_faulty_one(
        make_proxy, make_upstream, fault):
    bad, healthy = make_upstream(fault), make_upstream()
    proxy = make_proxy(
        bad.block("bad", *IMPATIENT), healthy.block("healthy", *IMPATIENT),
        settings="policy failover", timeout="6s")
    for i in range(3):
        query = make_query("n%d.test" % i)
        assert is_right(query, udp(proxy.address, query))


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_upstream_alone_ends_in_servfail(
        make_proxy, make_upstream, fault):
    proxy = make_proxy(
        make_upstream(fault).block("bad", *IMPATIENT), timeout="1s")
    codes = fails_in_time(proxy, 1)
    assert codes and set(codes) <= {0, 22, 23}
    assert fails_in_time(proxy, 1, edns=None) == []


def test_upstream_that_refuses_is_a_network_error(make_proxy, pki):
    proxy = make_proxy(
        upstream_block("nobody", free_port(), pki.ca), timeout="1s")
    assert fails_in_time(proxy, 1) in ([22], [23])


def test_silence_ends_in_no_answer_in_time(make_proxy, make_upstream):
    proxy = make_proxy(make_upstream("drop"), timeout="500ms")
    assert fails_in_time(proxy, 0.5) == [22]


def test_query_to_a_silent_upstream_over_tcp(make_proxy, make_upstream):
    proxy = make_proxy(make_upstream("drop"), timeout="500ms")
    assert is_servfail(tcp(proxy.address, make_query("www.test")))


def test_answer_without_question_is_an_answer_or_a_failure(proxy):
    query = make_query("noq.test")
    assert udp(proxy.address, query).id == query.id


@pytest.mark.parametrize("knobs", [
    ("close-after=3",), ("close-after=3", "reset"),
    ("close-after=3", "no-notify"), ("close-after=1",),
])
def test_upstream_that_closes_after_some_answers(
        make_proxy, make_upstream, knobs):
    proxy = make_proxy(make_upstream(*knobs))
    for i in range(30):
        query = make_query("n%d.test" % i)
        assert is_right(query, udp(proxy.address, query))
    result = load(proxy.address, "-q", "4", "-n", "200")
    assert is_flawless(result), result


@pytest.mark.parametrize("knobs", [(), ("reset",), ("no-notify",)])
def test_upstream_that_closes_when_idle(make_proxy, make_upstream, knobs):
    proxy = make_proxy(make_upstream("idle=150", *knobs))
    for i in range(4):
        query = make_query("n%d.test" % i)
        assert is_right(query, udp(proxy.address, query))
        time.sleep(0.4)


@pytest.mark.parametrize("knobs", [("byte",), ("single",), ("jitter=20",)])
def test_answers_may_come_in_any_shape(make_proxy, make_upstream, knobs):
    proxy = make_proxy(make_upstream(*knobs))
    result = load(proxy.address, "-q", "50", "-n", "1000")
    assert is_flawless(result), result


def test_answer_given_twice_reaches_the_client_once(proxy):
    for i in range(20):
        query = make_query("dup.n%d.test" % i)
        with udp_socket(proxy.address) as sock:
            sock.send(query.to_wire())
            assert is_right(query, dns.message.from_wire(sock.recv(65535)))
            sock.settimeout(0.05)
            with pytest.raises(socket.timeout):
                sock.recv(65535)


@pytest.mark.parametrize("label", ["wrongid", "wrongq", "garbage"])
def test_a_wrong_answer_never_reaches_a_client(
        make_proxy, upstream, label):
    proxy = make_proxy(upstream, timeout="1s")
    query = make_query(label + ".test")
    answer = udp(proxy.address, query)
    assert answer.id == query.id
    assert answer.question == query.question
    assert is_servfail(answer)


def test_queries_move_from_a_half_open_connection(make_proxy, make_upstream):
    frozen, healthy = make_upstream("freeze-after=5"), make_upstream()
    proxy = make_proxy(
        frozen.block("frozen", *IMPATIENT), healthy.block("healthy"),
        settings="policy failover", timeout="6s")
    for _ in range(3):
        result = load(proxy.address, "-q", "50", "-n", "300")
        assert is_flawless(result), result


def test_connections_closed_under_load_lose_nothing(
        make_proxy, make_upstream, background_load):
    upstream = make_upstream("delay=5")
    proxy = make_proxy(upstream)
    running = background_load(proxy.address, "-r", "1000", "-T", "3")
    for _ in range(10):
        time.sleep(0.2)
        assert upstream.command("close") == "ok"
    result = running.result()
    assert is_flawless(result), result
    assert upstream.stats()["connections"] > 10


def test_connections_are_reused(make_proxy, upstream):
    proxy = make_proxy(upstream.block("up", "pool size 2"))
    result = load(proxy.address, "-q", "1", "-n", "500")
    assert is_flawless(result), result
    assert upstream.stats()["connections"] <= 2


def test_many_queries_share_a_connection(make_proxy, make_upstream):
    upstream = make_upstream("delay=50")
    proxy = make_proxy(upstream.block("up", "pool size 1"))
    result = load(proxy.address, "-q", "200", "-n", "1000")
    assert is_flawless(result), result
    stats = upstream.stats()
    assert stats["connections"] == 1
    assert stats["max_inflight"] > 100


def test_pool_size_is_a_limit(make_proxy, make_upstream):
    upstream = make_upstream("delay=20")
    proxy = make_proxy(upstream.block("up", "pool size 3"))
    result = load(proxy.address, "-q", "500", "-n", "5000")
    assert is_flawless(result), result
    assert upstream.stats()["connections"] <= 3


def test_update_is_not_sent_twice(make_proxy, make_upstream):
    upstreams = [make_upstream("close"), make_upstream("close")]
    proxy = make_proxy(*upstreams, timeout="1s")
    update = dns.update.Update("zone.test")
    update.add("host", 300, "A", "192.0.2.1")
    assert is_servfail(udp(proxy.address, update))
    assert sum(up.stats()["queries"] for up in upstreams) == 1


def test_nothing_is_sent_in_the_clear(make_proxy, pki):
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        proxy = make_proxy(
            upstream_block("plain", server.getsockname()[1], pki.ca),
            timeout="1s")

        def sink():
            peer, _ = server.accept()
            with peer:
                peer.settimeout(3)
                try:
                    while data := peer.recv(65536):
                        seen.append(data)
                except OSError:
                    pass

        thread = threading.Thread(target=sink)
        thread.start()
        query = make_query("verysecretname.test")
        assert is_servfail(udp(proxy.address, query))
        thread.join()
    data = b"".join(seen)
    assert data[:1] == b"\x16"
    assert b"verysecretname" not in data


def test_recovers_at_once_when_the_upstream_does(make_proxy, upstream):
    proxy = make_proxy(upstream, timeout="2s")
    query = make_query("www.test")
    assert is_right(query, udp(proxy.address, query))
    upstream.go_down()
    for _ in range(2):
        assert is_servfail(udp(proxy.address, query))
    upstream.come_up()
    assert is_right(query, udp(proxy.address, query))


def test_starts_without_its_upstream(make_proxy, make_upstream, pki):
    port = free_port()
    proxy = make_proxy(upstream_block("late", port, pki.ca), timeout="2s")
    query = make_query("www.test")
    assert is_servfail(udp(proxy.address, query))
    make_upstream(port=port)
    assert is_right(query, udp(proxy.address, query))


def test_connection_slower_than_the_query_is_not_given_up(
        make_proxy, make_upstream):
    """The query fails in time, the handshake goes on for the next one."""
    upstream = make_upstream("accept-delay=1500")
    proxy = make_proxy(
        upstream.block("far", "connect timeout 5s", "handshake timeout 5s"),
        timeout="500ms")
    query = make_query("www.test")
    eventually(lambda: is_right(query, udp(proxy.address, query)))
