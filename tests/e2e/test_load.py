# SPDX-License-Identifier: ISC
"""Many clients at once: each its own answer, none lost, none twice."""

import pytest

from dnsclient import is_right, make_query, udp
from programs import is_flawless, load


@pytest.mark.parametrize("transport", [(), ("-t",)])
@pytest.mark.parametrize("upstreams", [1, 2])
def test_ten_thousand_queries_answered_out_of_order(
        make_proxy, make_upstream, transport, upstreams):
    proxy = make_proxy(*(make_upstream("jitter=50") for _ in range(upstreams)))
    result = load(proxy.address, *transport,
                  "-c", "8", "-q", "200", "-n", "10000")
    assert is_flawless(result), result


@pytest.mark.parametrize("transport", [(), ("-t",)])
def test_the_same_ids_of_all_while_connections_are_killed(
        make_proxy, make_upstream, background_load, transport):
    """64 clients with 8 IDs, answers in any order, from connections that end
    with many of them outstanding."""
    upstreams = [make_upstream("jitter=50", "reset") for _ in range(2)]
    proxy = make_proxy(*upstreams, settings="retries 64")
    running = background_load(proxy.address, *transport, "-I", "-w", "20",
                              "-c", "64", "-q", "512", "-n", "100000")
    kills = 0
    while not running.has_ended(after=0.5):
        assert upstreams[kills % 2].command("close") == "ok"
        kills += 1
    result = running.result()
    assert is_flawless(result), result
    assert kills > 1
    asked = sum(upstream.stats()["queries"] for upstream in upstreams)
    assert asked > result["sent"], "nothing was lost with a connection"


def test_all_connections_of_all_upstreams_killed_together(
        make_proxy, make_upstream, background_load):
    """Again and again: what lost two at once is no query that kills."""
    upstreams = [make_upstream("jitter=50", "reset") for _ in range(2)]
    proxy = make_proxy(*upstreams, settings="retries 64", timeout="4s")
    running = background_load(proxy.address, "-I", "-w", "20",
                              "-c", "64", "-q", "512", "-n", "60000")
    kills = 0
    while not running.has_ended(after=0.5):
        for upstream in upstreams:
            assert upstream.command("close") == "ok"
        kills += 1
    result = running.result()
    assert is_flawless(result), result
    assert kills > 1


def test_thousands_outstanding(make_proxy, make_upstream):
    proxy = make_proxy(make_upstream("delay=200"))
    result = load(proxy.address, "-r", "5000", "-q", "4000", "-n", "10000")
    assert is_flawless(result), result


def test_over_ipv6(proxy):
    result = load(proxy.address6, "-q", "100", "-n", "5000")
    assert is_flawless(result), result


def test_a_full_table_is_an_answer(make_proxy, make_upstream):
    proxy = make_proxy(make_upstream("delay=100"),
                       settings="client { max inflight 32 }")
    result = load(proxy.address, "-q", "100", "-n", "2000")
    assert result["lost"] == result["wrong"] == result["duplicate"] == 0
    assert result["answered"] + result["errors"] == 2000
    assert result["answered"] >= 24
    result = load(proxy.address, "-q", "24", "-n", "500")
    assert is_flawless(result), result


def test_full_rate_then_quiet_again(proxy):
    result = load(proxy.address, "-q", "400", "-T", "3")
    assert is_flawless(result), result
    query = make_query("www.test")
    assert is_right(query, udp(proxy.address, query))
