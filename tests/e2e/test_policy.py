# SPDX-License-Identifier: ISC
"""The six ways to choose an upstream, observed at the upstreams."""

import dns.message
import pytest

from dnsclient import (
    eventually, is_right, is_servfail, make_query, udp, udp_socket)

POLICIES = [
    "round-robin", "random", "historical-connections", "availability",
    "failover", "latency"]


def ask(proxy, count):
    for i in range(count):
        query = make_query("n%d.test" % i)
        assert is_right(query, udp(proxy.address, query))


def ask_at_once(proxy, count):
    asked = [make_query("at-once%d.test" % i) for i in range(count)]
    asked = {query.question[0].name: query for query in asked}
    with udp_socket(proxy.address) as sock:
        for query in asked.values():
            sock.send(query.to_wire())
        while asked:
            answer = dns.message.from_wire(sock.recv(65535))
            query = asked.pop(answer.question[0].name)
            assert is_right(query, answer)


def queries(upstreams):
    return [upstream.stats()["queries"] for upstream in upstreams]


@pytest.fixture
def trio(make_upstream):
    return [make_upstream() for _ in range(3)]


def with_policy(make_proxy, upstreams, policy, **kw):
    return make_proxy(*upstreams, settings="policy " + policy, **kw)


def test_round_robin_takes_turns(make_proxy, trio):
    ask(with_policy(make_proxy, trio, "round-robin"), 60)
    assert min(queries(trio)) >= 15


def test_random_uses_all(make_proxy, trio):
    ask(with_policy(make_proxy, trio, "random"), 300)
    assert min(queries(trio)) >= 50


def test_historical_connections_uses_all(make_proxy, trio):
    ask(with_policy(make_proxy, trio, "historical-connections"), 60)
    connections = [upstream.stats()["connections"] for upstream in trio]
    assert min(connections) >= 1
    assert max(connections) - min(connections) <= 2


def test_availability_uses_those_that_are_up(make_proxy, trio):
    trio[0].go_down()
    ask(with_policy(make_proxy, trio, "availability"), 100)
    down, *up = queries(trio)
    assert down == 0
    assert min(up) >= 10


def test_availability_forgives(make_proxy, trio):
    trio[0].go_down()
    proxy = with_policy(make_proxy, trio, "availability")
    ask(proxy, 20)
    trio[0].come_up()

    def used_again():
        ask(proxy, 5)
        return trio[0].stats()["queries"]

    eventually(used_again, seconds=40)


def test_failover_keeps_to_the_first(make_proxy, trio):
    ask(with_policy(make_proxy, trio, "failover\nhedge 0%"), 50)
    assert queries(trio) == [50, 0, 0]


def test_failover_takes_the_next_in_order_and_returns(make_proxy, trio):
    proxy = with_policy(make_proxy, trio, "failover\nhedge 0%")
    ask(proxy, 10)
    trio[0].go_down()
    ask(proxy, 10)
    assert queries(trio) == [10, 10, 0]
    trio[1].go_down()
    ask(proxy, 10)
    assert queries(trio) == [10, 10, 10]
    trio[0].come_up()

    def used_again():
        ask(proxy, 1)
        return trio[0].stats()["queries"] > 10

    eventually(used_again, seconds=40)


def settles(proxy, upstreams, fastest):
    """Most of some queries go to one upstream, sooner or later."""
    def does():
        before = queries(upstreams)
        ask(proxy, 30)
        got = [b - a for a, b in zip(before, queries(upstreams))]
        return got[fastest] >= 25

    eventually(does, seconds=60)


def test_latency_finds_the_fastest_and_follows(make_proxy, make_upstream):
    trio = [make_upstream("delay=%d" % ms) for ms in (40, 20, 60)]
    proxy = with_policy(make_proxy, trio, "latency")
    settles(proxy, trio, 1)
    # They change places.
    trio[1].set("delay=80")
    settles(proxy, trio, 0)
    trio[2].set("delay=3")
    settles(proxy, trio, 2)


def test_latency_leaves_who_fails_and_takes_it_back(make_proxy, make_upstream):
    pair = [make_upstream("delay=%d" % ms) for ms in (5, 40)]
    proxy = with_policy(make_proxy, pair, "latency")
    settles(proxy, pair, 0)
    pair[0].go_down()
    ask(proxy, 10)
    pair[0].come_up()
    settles(proxy, pair, 0)


def test_latency_leaves_who_is_silent(make_proxy, make_upstream):
    pair = [make_upstream("delay=%d" % ms) for ms in (5, 40)]
    proxy = with_policy(make_proxy, pair, "latency")
    settles(proxy, pair, 0)
    pair[0].set("drop=1")
    before = queries(pair)
    ask(proxy, 33)
    assert queries(pair)[1] - before[1] >= 33


def test_latency_keeps_all_warm(make_proxy, trio):
    proxy = with_policy(make_proxy, trio, "latency")
    ask(proxy, 20)
    before = [upstream.stats()["connections"] for upstream in trio]
    assert min(before) >= 1
    # Any of them may get the next query.
    for upstream in trio:
        assert upstream.command("close") == "ok"
    ask(proxy, 1)

    def all_dialled():
        ask(proxy, 1)
        return all(upstream.stats()["connections"] > n
                   for upstream, n in zip(trio, before))

    eventually(all_dialled, seconds=20)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_answers_while_one_upstream_is_left(
        make_proxy, trio, policy):
    proxy = with_policy(make_proxy, trio, policy)
    ask(proxy, 10)
    trio[0].go_down()
    ask(proxy, 10)
    trio[1].go_down()
    ask(proxy, 10)
    assert trio[2].stats()["queries"] >= 10


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("which", [0, 1])
def test_no_policy_loses_a_query_to_who_is_silent(
        make_proxy, make_upstream, policy, which):
    pair = [make_upstream("delay=5") for _ in range(2)]
    proxy = with_policy(make_proxy, pair, policy, timeout="3s")
    ask(proxy, 60)      # late is soon, and before silence is certain
    pair[which].set("drop=1")
    # One at a time: nothing else tells of the silence, nor pays for it.
    ask(proxy, 20)
    ask_at_once(proxy, 100)
    assert proxy.ctl_json("show", "stats")["pool"]["answered"] == 180


@pytest.mark.parametrize("policy", ["failover", "latency"])
def test_silent_is_left_for_who_has_no_connection(
        make_proxy, make_upstream, policy):
    pair = [make_upstream("delay=5") for _ in range(2)]
    proxy = make_proxy(*pair, settings="keep warm 0\npolicy " + policy)
    ask(proxy, 60)
    assert pair[1].command("close") == "ok"
    pair[0].set("drop=1")
    ask(proxy, 20)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_recovers_when_one_of_all_comes_up(
        make_proxy, trio, policy):
    proxy = with_policy(make_proxy, trio, policy, timeout="1s")
    for upstream in trio:
        upstream.go_down()
    assert is_servfail(udp(proxy.address, make_query("www.test")))
    trio[1].come_up()
    ask(proxy, 5)
    assert queries(trio) == [0, 5, 0]
