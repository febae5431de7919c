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
