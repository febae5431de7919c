# SPDX-License-Identifier: ISC
"""No query waits for a handshake, and where nobody asks nothing is sent."""

import time

import pytest

from dnsclient import eventually, is_right, make_query, udp
from programs import is_flawless, load


def counters(proxy):
    return proxy.ctl_json("show", "stats")["pool"]


def info(proxy, i=0):
    return proxy.ctl_json("show", "pool")["upstreams"][i]


def ask(proxy, name="a.test", **kw):
    query = make_query(name, **kw)
    assert is_right(query, udp(proxy.address, query))


@pytest.mark.parametrize("size", [1, 8])
def test_no_query_waits_while_the_upstream_closes_idle_connections(
        make_upstream, make_proxy, size):
    upstream = make_upstream("idle=1000")
    proxy = make_proxy(upstream.block("up", "pool size %d" % size))
    began = time.monotonic()
    ask(proxy)
    eventually(lambda: info(proxy)["idle_limit_ms"] > 0, what="idle limit")
    waited = counters(proxy)["waited"]
    for pause in (0.1, 0.7, 0.85, 0.95, 1.0, 1.05, 1.3, 0.9, 2.1):
        time.sleep(pause)
        ask(proxy)
    assert counters(proxy)["waited"] == waited
    assert 900 <= info(proxy)["idle_limit_ms"] <= 1500
    # Some 1.2 in the time it lets one idle, and the first two.
    took = time.monotonic() - began
    assert upstream.stats()["connections"] <= 2 + 1.2 * took + 1
    assert info(proxy)["warm_dials"] > 0


def test_nothing_is_sent_when_nobody_asks(make_upstream, make_proxy):
    upstream = make_upstream("idle=300")
    proxy = make_proxy(upstream, settings="keep warm 1s")
    ask(proxy)
    eventually(lambda: upstream.stats()["open"] == 0
               and info(proxy)["warm_left_ms"] == 0, what="sleep")
    connections = upstream.stats()["connections"]
    assert connections >= 3
    time.sleep(2)
    assert upstream.stats()["connections"] == connections
    ask(proxy)
    assert upstream.stats()["connections"] == connections + 1
    # Tickets were not used up by connections that nobody used.
    assert info(proxy)["connections"][0]["resumed"]


def test_many_queries_after_a_sleep_open_few_connections(
        make_upstream, make_proxy):
    upstream = make_upstream("idle=200")
    proxy = make_proxy(upstream, settings="keep warm 0")
    eventually(lambda: upstream.stats()["open"] == 0, what="sleep")
    before = upstream.stats()["connections"]
    result = load(proxy.address, "-n", "200", "-c", "200")
    assert is_flawless(result), result
    assert upstream.stats()["connections"] - before <= 2


@pytest.mark.parametrize("knobs", [(), ("tls12",)])
def test_no_ticket_is_used_without_resumption(
        make_upstream, make_proxy, knobs):
    upstream = make_upstream(*knobs)
    proxy = make_proxy(
        upstream, upstream.block("other", "resumption yes"),
        # Connections are counted: none for an answer that is late.
        settings="resumption no\npolicy round-robin\nkeep warm 0\nhedge 0%")
    for _ in range(3):
        ask(proxy)
        ask(proxy)
        assert upstream.command("close") == "ok"
        eventually(lambda: info(proxy)["open"] + info(proxy, 1)["open"] == 0)
    assert info(proxy)["opened"] == 3
    assert info(proxy)["resumed"] == 0
    assert info(proxy, 1)["resumed"] == 2
    stats = counters(proxy)
    assert stats["handshakes_full"] == 4
    assert stats["handshakes_resumed"] == 2


def ask_over(link, proxy, name):
    """Seconds until the answer, asked at the near end."""
    query = make_query(name)
    start = time.monotonic()
    assert is_right(query, link.near.run(udp, proxy.address, query))
    return time.monotonic() - start


def is_asleep(proxy):
    upstream = info(proxy)
    return upstream["open"] + upstream["connecting"] == 0


@pytest.mark.parametrize("setting, round_trips", [
    ("tcp fast open yes", 2), ("tcp fast open no", 3)])
def test_first_query_after_a_sleep_costs_two_round_trips(
        far_link, far_proxy, setting, round_trips):
    rtt = 0.2
    far_link.command("delay", rtt * 1000 / 2)
    upstream = far_link.upstream("fast-open=16")
    proxy = far_proxy(upstream.block("up", setting, "stale timeout 300ms"),
                      settings="keep warm 0")
    ask_over(far_link, proxy, "first.test")
    took = []
    for i in range(3):
        eventually(lambda: is_asleep(proxy), what="sleep")
        took.append(ask_over(far_link, proxy, "n%d.test" % i))
    assert min(took) < (round_trips + 0.9) * rtt, took
    assert min(took) >= round_trips * rtt, took


def test_no_packet_when_nobody_asks(far_link, far_proxy):
    upstream = far_link.upstream("idle=400")
    proxy = far_proxy(upstream, settings="keep warm 1s")
    ask_over(far_link, proxy, "first.test")
    eventually(lambda: is_asleep(proxy) and info(proxy)["warm_left_ms"] == 0,
               what="sleep")
    time.sleep(1)   # the last of the connections that end
    far_link.zero()
    time.sleep(3)
    assert far_link.stats()["near"].get("tcp", 0) == 0, far_link.stats()
    assert far_link.stats()["far"].get("tcp", 0) == 0, far_link.stats()
    ask_over(far_link, proxy, "second.test")
