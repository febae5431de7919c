# SPDX-License-Identifier: ISC
"""dotproxyctl and the control socket."""

import json
import os
import socket
import stat

import pytest

import programs
from dnsclient import eventually, is_right, make_query, udp
from programs import CTL, run

VIEWS = ["summary", "pool", "latency", "stats", "processes", "config"]


def serves(proxy):
    query = make_query("www.test")
    return is_right(query, udp(proxy.address, query))


@pytest.mark.parametrize("view", VIEWS)
def test_shows_text_and_json(proxy, view):
    assert serves(proxy)
    done = proxy.ctl("show", view)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert done.stderr == ""
    assert proxy.ctl_json("show", view)


def test_show_alone_shows_something(proxy):
    done = proxy.ctl("show")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_pool_names_the_upstreams(make_proxy, make_upstream):
    proxy = make_proxy(*(make_upstream().block(name)
                         for name in ("first", "second")))
    for text in proxy.ctl("show", "pool").stdout, json.dumps(
            proxy.ctl_json("show", "pool")):
        assert "first" in text and "second" in text


def test_processes_are_named_with_their_pids(proxy):
    text = proxy.ctl("show", "processes").stdout
    data = json.dumps(proxy.ctl_json("show", "processes"))
    for pid in proxy.pids():
        assert str(pid) in text
        assert str(pid) in data


def test_stats_count_queries(proxy):
    def numbers(value):
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            return [n for item in value for n in numbers(item)]
        return [value] if isinstance(value, int) else []

    before = numbers(proxy.ctl_json("show", "stats"))
    for _ in range(17):
        assert serves(proxy)
    after = numbers(proxy.ctl_json("show", "stats"))
    assert any(b - a == 17 for a, b in zip(before, after))


def test_latency_has_histograms(make_proxy, make_upstream):
    proxy = make_proxy(make_upstream("delay=20").block("slow"))
    for _ in range(10):
        assert serves(proxy)
    text = proxy.ctl("show", "latency").stdout
    assert "slow" in text and "HANDSHAKE" in text and "#" in text
    assert max(map(len, text.splitlines())) <= 80
    upstream, = proxy.ctl_json("show", "latency")["upstreams"]
    for name, least in ("latency", 10), ("connect", 0), ("handshake", 1):
        hist = upstream["histograms"][name]
        assert hist["count"] >= least
        assert hist["count"] == sum(b["count"] for b in hist["buckets"])
        assert hist["p50_us"] <= hist["p90_us"] <= hist["p99_us"]
    assert upstream["histograms"]["latency"]["p50_us"] >= 18000
    assert upstream["last_minute"]["latency"]["count"] >= 10
    clients = proxy.ctl_json("show", "latency")["clients"]
    assert clients["histograms"]["rtt_udp"]["count"] >= 10
    assert clients["last_minute"]["rtt_udp"]["p50_us"] >= 18000
    for name in "query_size_udp", "answer_size_udp":
        assert 12 < clients["histograms"][name]["mean"] < 512
        assert clients["histograms"][name]["count"] >= 10
    assert upstream["hedges"] >= 0


def test_config_shows_the_upstream(make_proxy, upstream):
    proxy = make_proxy(upstream.block("resolver"))
    assert "resolver" in proxy.ctl("show", "config").stdout
    assert "resolver" in json.dumps(proxy.ctl_json("show", "config"))


def test_log_level_can_be_changed(proxy):
    for level in "debug", "info", "error":
        done = proxy.ctl("log", "level", level)
        assert done.returncode == 0, done.stderr
        assert serves(proxy)
    assert proxy.ctl("log", "level", "loudly").returncode == 1


def test_debug_level_logs_more(make_proxy, upstream):
    proxy = make_proxy(upstream, timeout="300ms")

    def lines_of_trouble():
        before = len(proxy.log().splitlines())
        for _ in range(5):
            udp(proxy.address, make_query("close.test"))
        return len(proxy.log().splitlines()) - before

    lines_of_trouble()
    quiet = lines_of_trouble()
    assert proxy.ctl("log", "level", "debug").returncode == 0
    assert lines_of_trouble() > quiet


@pytest.mark.parametrize("command", [
    ("show", "summary"), ("reload",), ("log", "level", "debug")])
def test_without_daemon_one_line_says_so(tmp_path, command):
    done = run(CTL, "-s", str(tmp_path / "nothing"), *command)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "nothing" in done.stderr


@pytest.mark.parametrize("command", [
    (), ("dance",), ("show", "nonsense"), ("show", "pool", "more"),
    ("reload", "/etc/passwd"), ("log", "level")])
def test_unknown_command_is_an_error(proxy, command):
    done = proxy.ctl(*command)
    assert done.returncode == 1
    assert done.stderr.strip()
    assert serves(proxy)


def test_socket_is_not_for_everybody(proxy):
    assert not stat.S_IMODE(os.stat(proxy.socket).st_mode) & 0o002


def test_socket_goes_with_the_daemon_or_does_not_stop_the_next(
        make_proxy, upstream):
    proxy = make_proxy(upstream)
    proxy.stop()
    proxy.start()
    assert serves(proxy)


def test_noise_on_the_control_socket_harms_nobody(proxy):
    for noise in os.urandom(1000), b"\0" * 64, b"\xff" * 100000, b"x":
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(str(proxy.socket))
            try:
                sock.sendall(noise)
            except (BrokenPipeError, ConnectionResetError):
                pass
    assert serves(proxy)
    assert proxy.ctl("show", "summary").returncode == 0


def test_many_control_connections_leave_service_alone(proxy):
    socks = []
    for _ in range(100):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(1)
        socks.append(sock)
        try:
            sock.connect(str(proxy.socket))
        except OSError:
            break
    assert serves(proxy)
    for sock in socks:
        sock.close()
    assert serves(proxy)


def test_show_errors(make_proxy, make_upstream, pki):
    """What upstreams failed with, counted as in show stats; names nobody."""
    proxy = make_proxy(
        make_upstream(leaf=pki.stranger).block("suspect"),
        programs.upstream_block("gone", programs.free_port(), pki.ca),
        workers=2)

    def found():
        udp(proxy.address, make_query("secret-name.test"))
        shown = proxy.ctl_json("show", "errors")
        kinds = {(e["upstream"], e["phase"]): e for e in shown["errors"]}
        return (shown, kinds) if len(kinds) == 2 else None

    shown, kinds = eventually(found, what="errors")
    assert set(kinds) == {("suspect", "verify"), ("gone", "connect")}
    refused = kinds["gone", "connect"]
    assert refused["cause"] == "network error"
    assert refused["text"] == "Connection refused"
    for error in shown["errors"]:
        assert error["count"] > 0
        assert 0 <= error["last_ms"] <= error["first_ms"] < 60000
    ages = [error["last_ms"] for error in shown["errors"]]
    assert ages == sorted(ages)
    assert any(n for name, n in shown["listener"].items()
               if name.startswith("failed_"))

    def agree():
        shown = proxy.ctl_json("show", "errors")["errors"]
        ups = proxy.ctl_json("show", "stats")["upstreams"]
        return {(up["name"], phase): n for up in ups
                for phase, n in up["failures"].items() if n} == \
            {(e["upstream"], e["phase"]): e["count"] for e in shown}
    eventually(agree, what="the counts of show stats")
    text = proxy.ctl("show", "errors").stdout
    assert "Connection refused" in text and "\nfailed " in text
    assert "secret" not in text and "127.0.0.1" not in text
    proxy.reload()
    assert proxy.ctl_json("show", "errors")["errors"]
