# SPDX-License-Identifier: ISC
"""Descriptors: what is asked for, and what becomes of a limit too low."""

import contextlib
import os
import resource
import signal
import socket

import pytest

from dnsclient import Stream, eventually, is_right, make_query, tcp
from programs import Daemon, is_flawless, load

RESERVE = 320       # of dotproxy/parent/nofile.c


def client(limit):
    return ("client {\nmax tcp connections %d\n"
            "max tcp connections per client %d\ntcp read timeout 1h\n}"
            % (limit, limit))


@pytest.fixture
def limited(tmp_path, upstream, start_daemon):
    """Makes a daemon which has so many descriptors and can not have more."""
    def make(nofile, settings):
        daemon = Daemon(tmp_path)
        daemon.configure(upstream, settings=settings)
        prefix = ["prlimit", "--nofile=%d:%d" % (nofile, nofile)]
        if os.geteuid() == 0:
            prefix += ["setpriv", "--bounding-set=-sys_resource"]
        daemon.command = [*prefix, *daemon.command]
        return start_daemon(daemon)
    return make


def tcp_open(daemon):
    return daemon.ctl_json("show", "stats")["listener"]["tcp_open"]


def test_limit_too_low_holds_instead(limited):
    """It starts, says so, and clients take the place of those idle."""
    daemon = limited(RESERVE + 50, client(1000))
    assert ("max tcp connections: 1000, but listener has descriptors for 50, "
            "for want of a higher limit" in daemon.log())
    with contextlib.ExitStack() as stack:
        for i in range(120):
            stream = stack.enter_context(Stream(daemon.address))
            query = make_query("n%d.test" % i)
            assert stream.ask(query.to_wire())[:2] == query.to_wire()[:2]
        # Fewer when the last ones have been idle for a while.
        assert 25 <= tcp_open(daemon) <= 50
        query = make_query("www.test")
        assert is_right(query, tcp(daemon.address, query))


def test_reload_can_double_the_limit(limited, upstream):
    daemon = limited(2000, client(100))
    daemon.configure(upstream, settings=client(200))
    daemon.reload()
    assert "max tcp connections" not in daemon.log()
    daemon.configure(upstream, settings=client(1000))
    daemon.reload()
    assert ("max tcp connections: 1000, but listener has descriptors for 200, "
            "until it is started again" in daemon.log())
    daemon.children_may_die = True
    old = daemon.children()["listener"]
    os.kill(old, signal.SIGKILL)
    eventually(lambda: daemon.children().get("listener", old) != old,
               what="another listener")
    eventually(lambda: daemon.ctl("show", "summary").returncode == 0,
               what="the configuration")
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(
                socket.create_connection(daemon.address))
        eventually(lambda: tcp_open(daemon) == 300, what="clients")


@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 12000,
    reason="the limit of descriptors is too low for as many clients")
def test_ten_thousand_clients(make_proxy, upstream):
    # All of them may have a query in flight at once: no table is to be full.
    proxy = make_proxy(upstream, settings=client(11000).replace(
        "}", "max inflight 16384\n}"))
    assert "max tcp connections" not in proxy.log()
    for args in (("-i", "10000"), ("-i", "9000", "-t", "-c", "1000"),
                 ("-t", "-c", "10000")):
        result = load(proxy.address, *args, "-q", "1000", "-n", "20000")
        assert is_flawless(result), (args, result)
