# SPDX-License-Identifier: ISC
"""Several pairs of listener and pool, which share nothing but the parent."""

import os
import resource
import signal
import socket
import time

import pytest

from dnsclient import (
    Stream, eventually, is_right, make_query, tcp, udp)
from programs import (
    SANITIZED, end_process, free_port, is_flawless, load)
from test_respawn import Caller


def serves(proxy):
    query = make_query("www.test")
    return is_right(query, udp(proxy.address, query))


def stats_of(proxy, worker):
    return proxy.ctl_json("-w", str(worker), "show", "stats")


def received(stats):
    return (stats["listener"]["queries_udp"]
            + stats["listener"]["queries_tcp"])


def many_ask(proxy, count=64):
    """Each query from a port of its own."""
    for i in range(count):
        query = make_query("n%d.test" % i)
        assert is_right(query, udp(proxy.address, query))


def processes(proxy):
    done = proxy.ctl("-j", "show", "processes")
    assert done.returncode == 0, done.stderr
    return proxy.ctl_json("show", "processes")["processes"]


@pytest.mark.parametrize("workers", [2, 4])
def test_queries_are_spread_over_the_workers(make_proxy, upstream, workers):
    proxy = make_proxy(upstream, workers=workers)
    many_ask(proxy, 32 * workers)
    for _ in range(16 * workers):
        query = make_query("tcp.test")
        assert is_right(query, tcp(proxy.address, query))
    for kind in "queries_udp", "queries_tcp":
        shares = [stats_of(proxy, w + 1)["listener"][kind]
                  for w in range(workers)]
        assert min(shares) > 0, shares
    result = load(proxy.address, "-c", "32", "-n", "5000")
    assert is_flawless(result), result


def test_sums_are_right(make_proxy, upstream):
    proxy = make_proxy(upstream, workers=3)
    many_ask(proxy)
    parts = [stats_of(proxy, w) for w in (1, 2, 3)]
    whole = proxy.ctl_json("show", "stats")
    assert whole["workers"] == 3
    assert whole["missing"] == []
    for process in "listener", "pool":
        for name, value in whole[process].items():
            if name != "uptime_ms":
                assert value == sum(p[process][name] for p in parts), name
    assert received(whole) == whole["listener"]["answered"] == 64
    assert len(whole["upstreams"]) == 1
    for name in "queries", "answers", "opened", "pool_size":
        assert whole["upstreams"][0][name] == sum(
            p["upstreams"][0][name] for p in parts), name
    assert "workers" not in parts[0]
    pool = proxy.ctl_json("show", "pool")
    assert len(pool["upstreams"][0]["connections"]) >= 3


def test_limits_are_shared_out(make_proxy, upstream):
    block = upstream.block("up", "pool size 5")
    proxy = make_proxy(block, workers=4,
                       settings="client { max inflight 100 }")
    pool = proxy.ctl_json("show", "pool")
    assert pool["max_in_flight"] == 100
    assert pool["upstreams"][0]["pool_size"] == 8   # 2 each, rounded up
    one = proxy.ctl_json("-w", "4", "show", "pool")
    assert one["max_in_flight"] == 25
    assert one["upstreams"][0]["pool_size"] == 2


def test_every_process_is_shown_and_confined(make_proxy, upstream):
    proxy = make_proxy(upstream, workers=2)
    found = {" ".join([p["role"], *map(str, filter(None, [p.get("worker")]))]):
             p["pid"] for p in processes(proxy)}
    assert found == {"parent": proxy.process.pid, **proxy.children()}
    assert set(proxy.children()) == {
        "listener 1", "listener 2", "pool 1", "pool 2"}
    summary = proxy.ctl_json("show", "summary")
    assert summary["verdict"] == "ok"
    assert len(summary["processes"]) == 5
    check = proxy.ctl("check", "security")
    if not SANITIZED:   # that does without some of the confinement
        assert check.returncode == 0, check.stdout
        for name in proxy.children():
            assert "%s: ok" % name in check.stdout
    text = proxy.ctl("show", "processes").stdout
    assert "pool 2 (pid %d)" % proxy.child("pool 2") in text
    config = proxy.ctl_json("show", "config")["config"]
    assert "workers 2\n" in config
    assert config.count("workers") == 1


def test_one_worker_shows_no_number_and_has_its_ports_alone(proxy):
    assert set(proxy.children()) == {"listener", "pool"}
    assert "workers" not in proxy.ctl_json("show", "summary")
    assert not proxy.socket.with_name("ctl.2").exists()
    assert proxy.ctl("-w", "2", "show").returncode == 1
    for kind in socket.SOCK_DGRAM, socket.SOCK_STREAM:
        with socket.socket(socket.AF_INET, kind) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            with pytest.raises(OSError):
                sock.bind(proxy.address)


def test_each_child_may_be_killed_under_load(
        make_proxy, upstream, background_load):
    proxy = make_proxy(upstream, workers=2)
    others = proxy.children()
    caller = Caller(proxy.address)
    running = background_load(
        proxy.address, "-c", "16", "-r", "200", "-T", "9")
    time.sleep(1)
    for name in sorted(others):
        before = proxy.children()
        proxy.kill_child(name)
        after = proxy.children()
        assert {n: p for n, p in after.items() if n != name} == {
            n: p for n, p in before.items() if n != name}
        time.sleep(1)
    result = running.result()
    caller.finish()
    assert caller.calls > 50
    assert caller.refused == 0
    assert result["refused"] == 0
    assert result["wrong"] == result["duplicate"] == 0
    # What two dead listeners had read is gone with them.
    assert result["lost"] <= 40, result
    assert serves(proxy)
    assert all(p["restarts"] == 1 for p in processes(proxy)
               if p["role"] != "parent")
    assert proxy.ctl("log", "level", "debug").returncode == 0


def test_one_that_is_away_is_named_and_the_rest_shown(make_proxy, upstream):
    proxy = make_proxy(upstream, workers=2)
    many_ask(proxy)
    stopped = proxy.child("listener 1")
    os.kill(stopped, signal.SIGSTOP)
    done = proxy.ctl("-j", "show", "stats")
    proxy_text = proxy.ctl("show")
    shown = proxy.ctl("-j", "show", "config")
    os.kill(stopped, signal.SIGCONT)
    assert done.returncode == 1
    assert '"missing":[1]' in done.stdout
    assert "worker 1: does not answer" in done.stderr
    assert '"answered":' in done.stdout
    assert proxy_text.stdout.startswith("degraded: worker 1: ")
    assert shown.returncode == 0, shown.stderr
    eventually(lambda: proxy.ctl("show").returncode == 0)


def test_one_that_hangs_does_not_hide_the_rest(make_proxy, upstream):
    proxy = make_proxy(upstream, workers=3)
    stopped = proxy.child("listener 2")
    os.kill(stopped, signal.SIGSTOP)
    waiting = []
    with pytest.raises(BlockingIOError):
        for _ in range(100):    # until its backlog is full
            waiting.append(socket.socket(socket.AF_UNIX))
            waiting[-1].setblocking(False)
            waiting[-1].connect(str(proxy.socket) + ".2")
    done = proxy.ctl("-j", "show", "stats")
    os.kill(stopped, signal.SIGCONT)
    for sock in waiting:
        sock.close()
    assert done.returncode == 1
    assert '"workers":3' in done.stdout
    assert '"missing":[2]' in done.stdout
    eventually(lambda: proxy.ctl("show").returncode == 0)


def test_many_sockets_are_not_too_many_files(make_proxy, upstream):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    port = free_port()
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        proxy = make_proxy(upstream, workers=4, listen=[
            "127.0.0.%d port %d" % (i + 1, port) for i in range(16)])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    proxy.address = ("127.0.0.16", port)
    assert serves(proxy)
    proxy.reload()
    assert serves(proxy)


def reload_with(proxy, text):
    proxy.file.write_text(text)
    return proxy.ctl("reload")


def test_reload_reaches_all_workers(make_proxy, make_upstream,
                                    background_load):
    first, second = make_upstream(), make_upstream()
    proxy = make_proxy(first, workers=3)
    text = proxy.file.read_text()
    running = background_load(
        proxy.address, "-c", "16", "-r", "300", "-T", "4")
    time.sleep(1)
    done = reload_with(proxy, text + second.block("other"))
    assert done.returncode == 0, done.stderr
    for worker in 1, 2, 3:
        names = [u["name"] for u in stats_of(proxy, worker)["upstreams"]]
        assert names == ["up0", "other"]
    result = running.result()
    assert is_flawless(result), result
    assert proxy.children() == proxy.first_children


def test_reload_that_one_pool_does_not_answer_changes_nothing(
        make_proxy, make_upstream):
    first, second = make_upstream(), make_upstream()
    proxy = make_proxy(first, workers=2)
    proxy.children_may_die = True
    stopped = proxy.child("pool 2")
    os.kill(stopped, signal.SIGSTOP)
    done = reload_with(
        proxy, proxy.file.read_text() + second.block("other"))
    assert done.returncode == 1
    assert "a process died meanwhile" in done.stderr
    eventually(lambda: proxy.children().get("pool 2") not in (None, stopped))
    eventually(lambda: proxy.ctl("-w", "2", "show", "stats").returncode == 0)
    for worker in 1, 2:
        names = [u["name"] for u in stats_of(proxy, worker)["upstreams"]]
        assert names == ["up0"]
    assert "other" not in proxy.ctl("show", "config").stdout
    proxy.reload()
    assert len(proxy.ctl_json("show", "stats")["upstreams"]) == 2


def set_workers(proxy, workers):
    lines = [line for line in proxy.file.read_text().splitlines(True)
             if not line.startswith("workers ")]
    done = reload_with(
        proxy, "".join(lines) + "workers %d\n" % workers)
    assert done.returncode == 0, done.stderr
    proxy.workers = workers


def share_of_sockets(proxy):
    """Whether another process of the same user could join in."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            sock.bind(proxy.address)
        except OSError:
            return False
    return True


def test_reload_adds_workers(make_proxy, upstream, background_load):
    proxy = make_proxy(upstream)
    proxy.children_may_die = True   # there will be others
    caller = Caller(proxy.address)
    running = background_load(
        proxy.address, "-c", "16", "-r", "200", "-T", "4")
    old = proxy.children()
    time.sleep(0.5)
    set_workers(proxy, 4)
    eventually(lambda: proxy.ctl("show").returncode == 0
               and len(proxy.children()) == 8, what="four workers")
    assert old.items() <= proxy.children().items()
    many_ask(proxy)
    assert min(received(stats_of(proxy, w)) for w in (1, 2, 3, 4)) > 0
    result = running.result()
    caller.finish()
    assert caller.refused == 0
    assert is_flawless(result), result


def test_fewer_workers_take_a_restart(make_proxy, upstream):
    proxy = make_proxy(upstream, workers=2)
    text = proxy.file.read_text()
    done = reload_with(proxy, text.replace("workers 2", "workers 1"))
    assert done.returncode == 1
    line = text.splitlines().index("workers 2") + 1
    assert "%s:%d: workers: 2 are running" % (
        proxy.file, line) in done.stderr
    assert proxy.children() == proxy.first_children
    assert "workers 2" in proxy.ctl("show", "config").stdout
    many_ask(proxy)


def test_reload_that_fails_starts_and_shares_nothing(make_proxy, upstream):
    proxy = make_proxy(upstream)
    text = proxy.file.read_text()
    done = reload_with(
        proxy, text + "workers 3\nlisten on 192.0.2.1 port 5353\n")
    assert done.returncode == 1
    assert "192.0.2.1" in done.stderr
    assert len(proxy.children()) == 2
    assert not share_of_sockets(proxy)
    assert not proxy.socket.with_name("ctl.2").exists()
    assert serves(proxy)


def test_pool_that_keeps_dying_does_not_hurt_the_others(
        make_proxy, upstream):
    proxy = make_proxy(upstream, workers=2, timeout="500ms")
    proxy.children_may_die = True
    others = {n: p for n, p in proxy.children().items() if n != "pool 2"}
    with Stream(proxy.address) as stream:
        for i in range(8):
            pid = proxy.children().get("pool 2")
            if pid is not None:
                end_process(pid)
            time.sleep(0.2)
        stream.send(make_query("www.test").to_wire())
        assert stream.receive()
    assert others.items() <= proxy.children().items()
    before = stats_of(proxy, 1)["listener"]
    many_ask_whoever_answers(proxy)
    after = stats_of(proxy, 1)["listener"]
    asked = after["queries_udp"] - before["queries_udp"]
    assert asked > 0
    assert after["answered"] - before["answered"] == asked
    eventually(lambda: proxy.ctl_json("show")["verdict"] == "ok", seconds=30)


def many_ask_whoever_answers(proxy):
    """An answer for each, if only SERVFAIL."""
    for i in range(32):
        assert udp(proxy.address, make_query("n%d.test" % i)) is not None
