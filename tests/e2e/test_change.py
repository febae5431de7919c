# SPDX-License-Identifier: ISC
"""What dotproxyctl changes in a running daemon: disable, flush, drain; health."""

import os
import signal
import time

import pytest

from dnsclient import Stream, eventually, is_right, make_query, tcp, udp
from programs import CTL, is_flawless, run

def ask(proxy, n=1):
    for _ in range(n):
        query = make_query("www.test")
        if not is_right(query, udp(proxy.address, query)):
            return False
    return True


def states(proxy):
    return {u["name"]: u["state"]
            for u in proxy.ctl_json("show", "summary")["upstreams"]}


def queries(upstream):
    return upstream.stats()["queries"]


@pytest.fixture
def two(make_proxy, make_upstream):
    upstreams = make_upstream(), make_upstream()
    proxy = make_proxy(upstreams[0].block("one"), upstreams[1].block("two"),
                       settings="policy round-robin\n")
    return proxy, upstreams


def change(proxy, *words):
    done = proxy.ctl(*words)
    assert done.returncode == 0, done.stderr
    assert done.stdout == done.stderr == ""


def test_disabled_upstream_gets_no_queries(two):
    proxy, (one, other) = two
    assert ask(proxy, 10)
    change(proxy, "upstream", "one", "disable")
    assert states(proxy) == {"one": "disabled", "two": "up"}
    before = queries(one)
    assert ask(proxy, 20)
    assert queries(one) == before
    assert "1 disabled" in proxy.ctl("show").stdout
    change(proxy, "upstream", "one", "enable")
    assert ask(proxy, 20)
    eventually(lambda: queries(one) > before)


def test_disabled_stays_so_over_deaths_and_reloads(two):
    proxy, (one, _) = two
    assert ask(proxy, 4)
    change(proxy, "upstream", "one", "disable")
    before = queries(one)
    for role in "pool", "listener":
        proxy.kill_child(role)
        eventually(lambda: ask(proxy))
        eventually(lambda: proxy.ctl("show").returncode == 0)
        assert states(proxy)["one"] == "disabled"
    proxy.reload()
    assert states(proxy)["one"] == "disabled"
    assert ask(proxy, 10)
    assert queries(one) == before


def test_all_are_enabled_if_none_would_be_left_and_then_it_is_said(two):
    proxy, upstreams = two
    said = "all upstreams are enabled: none would be left"
    change(proxy, "upstream", "two", "disable")
    # A pool does not take it, so nothing has changed.
    proxy.configure(upstreams[1].block("two").replace(
        upstreams[1].pki.ca, "/dev/null"))
    assert proxy.ctl("reload").returncode == 1
    assert said not in proxy.log()
    assert states(proxy)["two"] == "disabled"
    proxy.configure(upstreams[1].block("two"))
    proxy.reload()
    assert said in proxy.log()
    assert states(proxy)["two"] != "disabled"
    assert ask(proxy)


def test_last_upstream_cannot_be_disabled(two):
    proxy, _ = two
    change(proxy, "upstream", "two", "disable")
    done = proxy.ctl("upstream", "one", "disable")
    assert done.returncode == 1
    assert "last" in done.stderr
    assert ask(proxy)
    done = proxy.ctl("upstream", "three", "disable")
    assert done.returncode == 1
    assert "no such upstream" in done.stderr


@pytest.mark.parametrize("commands", [
    [("upstream", "one", "disable"), ("upstream", "one", "enable")],
    [("pool", "flush")]])
def test_under_load_no_query_is_lost(two, background_load, commands):
    proxy, _ = two
    assert ask(proxy, 4)
    load = background_load(proxy.address, "-r", "1000", "-T", "3")
    for i in range(6):
        change(proxy, *commands[i % len(commands)])
        time.sleep(0.2)
    assert is_flawless(load.result())


def test_flush_makes_connections_anew(make_proxy, make_upstream):
    upstream = make_upstream()
    proxy = make_proxy(upstream.block("one"))
    assert ask(proxy)
    before, = proxy.ctl_json("show", "pool")["upstreams"]
    change(proxy, "pool", "flush")
    eventually(lambda: proxy.ctl_json("show", "pool")["upstreams"][0]["opened"] >
          before["opened"])
    assert ask(proxy)
    eventually(lambda: len(proxy.ctl_json("show", "pool")["upstreams"][0]
                      ["connections"]) == len(before["connections"]))
    after, = proxy.ctl_json("show", "pool")["upstreams"]
    assert not after["connections"][0]["resumed"]


def connects_and_stays(proxy):
    query = make_query("www.test")
    try:
        return is_right(query, tcp(proxy.address, query))
    except (ConnectionError, EOFError, AssertionError):
        return False


def test_drained_daemon_answers_over_udp_alone(two):
    proxy, _ = two
    with Stream(proxy.address) as idle:
        idle.ask(make_query("www.test").to_wire())
        change(proxy, "drain")
        assert idle.at_end()
    assert not connects_and_stays(proxy)
    assert ask(proxy)
    assert proxy.ctl("health").returncode == 1
    assert "draining" in proxy.ctl("show").stdout
    assert proxy.ctl_json("show")["draining"] is True
    proxy.kill_child("listener")
    eventually(lambda: proxy.ctl("show").returncode == 0)
    assert not connects_and_stays(proxy)
    change(proxy, "drain", "off")
    assert connects_and_stays(proxy)
    assert proxy.ctl("health").returncode == 0


def test_health(two, tmp_path):
    proxy, (one, other) = two
    assert ask(proxy, 4)
    done = proxy.ctl("health")
    assert (done.returncode, done.stdout) == (0, "ok: 2 upstreams up\n")
    assert proxy.ctl("health", "upstreams", "2").returncode == 0
    done = proxy.ctl("health", "upstreams", "3")
    assert done.returncode == 1
    assert "too few" in done.stdout
    done = proxy.ctl("-q", "health", "upstreams", "3")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert proxy.ctl_json("health")["upstreams_usable"] == 2
    one.go_down()
    eventually(lambda: ask(proxy) and "degraded" in proxy.ctl("health").stdout)
    assert proxy.ctl("health").returncode == 0
    assert proxy.ctl("health", "upstreams", "2").returncode == 1
    change(proxy, "upstream", "two", "disable")
    eventually(lambda: proxy.ctl("health").returncode == 1)
    assert proxy.ctl("health").stdout.startswith("down: ")


def test_no_daemon_is_not_healthy(tmp_path):
    done = run(CTL, "-q", "-s", str(tmp_path / "nothing"), "health")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_stopped_daemon_is_not_healthy_within_seconds(two):
    """One second is its own limit; a loaded machine gets more."""
    proxy, _ = two
    pid = proxy.child("listener")
    os.kill(pid, signal.SIGSTOP)
    try:
        start = time.monotonic()
        assert proxy.ctl("health").returncode == 1
        assert time.monotonic() - start < 8
    finally:
        os.kill(pid, signal.SIGCONT)


def test_workers_are_all_told(make_proxy, make_upstream):
    upstreams = make_upstream(), make_upstream()
    proxy = make_proxy(upstreams[0].block("one"), upstreams[1].block("two"),
                       settings="policy round-robin\n", workers=2)
    change(proxy, "upstream", "one", "disable")
    change(proxy, "drain")
    for worker in "1", "2":
        data = proxy.ctl_json("-w", worker, "show")
        assert data["draining"]
        assert [u["state"] == "disabled" for u in data["upstreams"]] == [
            True, False]


def test_probe_tells_every_step(two):
    proxy, _ = two
    done = proxy.ctl("upstream", "one", "probe")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("one (127.0.0.1:") and "works" in lines[0]
    assert [line.split()[0] for line in lines[1:]] == [
        "socket", "connect", "handshake", "certificate", "query"]
    assert "TLSv1.3" in done.stdout and "NOERROR" in done.stdout


def test_probe_names_what_fails(make_proxy, make_upstream):
    good, down = make_upstream(), make_upstream()
    proxy = make_proxy(good.block("good"), down.block("down"))
    down.go_down()
    done = proxy.ctl("upstream", "down", "probe")
    assert done.returncode == 1
    assert "failed: connect" in done.stdout
    eventually(lambda: "just been" not in proxy.ctl(
        "upstream", "good", "probe").stderr)
    eventually(lambda: proxy.ctl(
        "-j", "upstream", "good", "probe").returncode == 0)
    done = proxy.ctl("upstream", "bad", "probe")
    assert done.returncode == 1
    assert "no such upstream" in done.stderr
