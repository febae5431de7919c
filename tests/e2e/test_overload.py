# SPDX-License-Identifier: ISC
"""More than can be answered: the newest goes, those in line are answered.

The upstream answers so many a second, in order, and is asked for twice that.
What is compared are counts; how long anything takes does not matter.
"""

from dnsclient import is_right, make_query, tcp, udp
from programs import is_flawless, load


def every_query_ended(result):
    return (result["answered"] + result["errors"] == result["sent"]
            and result["lost"] == result["wrong"] == 0
            and result["duplicate"] == 0)


def test_those_in_line_are_answered(make_proxy, make_upstream):
    """A line that lasts longer than a query may go on without being overtaken:
    to end the oldest would waste what the upstream is about to answer."""
    upstream = make_upstream("rate=200")
    proxy = make_proxy(upstream, settings="client { max inflight 256 }")
    result = load(proxy.address, "-r", "400", "-q", "2000", "-n", "1600")
    assert every_query_ended(result), result
    asked = upstream.stats()["queries"]
    assert asked < 0.8 * result["sent"], "there was no overload"
    assert result["answered"] >= 0.95 * asked, result


def test_the_line_gets_shorter_than_the_timeout(make_proxy, make_upstream):
    """The table would hold queries for 10 seconds, who asks has 2."""
    upstream = make_upstream("rate=400")
    proxy = make_proxy(upstream, timeout="2s",
                       settings="client { max inflight 4096 }")
    result = load(proxy.address, "-r", "1600", "-q", "16000", "-n", "9600")
    assert every_query_ended(result), result
    asked = upstream.stats()["queries"]
    assert asked < 0.6 * result["sent"], "there was no overload"
    assert result["answered"] >= 0.9 * asked, result


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


def test_who_is_never_answered_keeps_nobody_out(
        make_proxy, make_upstream, background_load):
    """Names that no server answers fill the table again and again."""
    proxy = make_proxy(make_upstream(),
                       settings="client { max inflight 64 }")
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
