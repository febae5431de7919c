# SPDX-License-Identifier: ISC
"""Metrics by statsd: what is sent, what servers make of it, and no server."""

import os
import re
import socket
import time

import dns.rcode
import pytest

import statsd
from dnsclient import eventually, is_right, make_query, tcp, udp
from programs import SANITIZED, free_port, load

LINE = {
    "influx": re.compile(
        r"dotproxy\.[a-z_.]+(,[a-z]+=[A-Za-z0-9_.%~+-]+)*"
        r":[0-9]+(\.[0-9]{1,3})?\|(c|g|ms)(\|@0\.[0-9]+)?"),
    "dogstatsd": re.compile(
        r"dotproxy\.[a-z_.]+:[0-9]+(\.[0-9]{1,3})?\|(c|g|ms)(\|@0\.[0-9]+)?"
        r"\|#[a-z]+:[A-Za-z0-9_.:-]+(,[a-z]+:[A-Za-z0-9_.:-]+)*"),
    "statsd": re.compile(
        r"dotproxy\.[A-Za-z0-9_.-]+:[0-9]+(\.[0-9]{1,3})?"
        r"\|(c|g|ms)(\|@0\.[0-9]+)?"),
}


@pytest.fixture
def sink():
    with statsd.Sink() as found:
        yield found


def metrics(port, *more, address="127.0.0.1"):
    return " ".join(["metrics statsd %s port %d flush interval 1s"
                     % (address, port), *more]) + "\n"


def ask(proxy, count, over=udp):
    for i in range(count):
        query = make_query("m%d.test" % i)
        assert is_right(query, over(proxy.address, query))


@pytest.mark.parametrize("flavour", LINE)
def test_every_line_is_of_the_dialect(make_proxy, upstream, sink, flavour):
    proxy = make_proxy(
        upstream, settings=metrics(sink.port, "flavour", flavour))
    ask(proxy, 20)
    ask(proxy, 5, tcp)
    sink.until(lambda: sink.total("event.listener.answered") == 25)
    assert sink.lines
    for line in sink.lines:
        assert LINE[flavour].fullmatch(line), line
    assert max(sink.sizes) <= 1432
    assert all(text.endswith("\n") for text in sink.datagrams)


def test_names_and_tags_of_the_original(make_proxy, upstream, sink):
    proxy = make_proxy(upstream, settings=metrics(sink.port))
    ask(proxy, 20)
    ask(proxy, 5, tcp)
    version = proxy.ctl("-V").stdout.split("/")[1].strip()
    up = "addr=127.0.0.1,transport=tcp,version=" + version
    tags = {
        "event.client.cx_open": "addr=null,transport=tcp,",
        "event.client.cx_close": "addr=null,transport=tcp,",
        "event.client.cx_read": "addr=null,transport=udp,",
        "event.client.cx_write": "addr=null,transport=udp,",
        "event.upstream.cx_open": up,
        "event.upstream.cx_read": up,
        "event.upstream.cx_write": up,
        "latency.upstream.cx_open": up,
        "size.proxy.request": "addr=null,transport=tcp,",
        "size.proxy.response": "addr=null,transport=udp,",
        "latency.proxy.tx_rtt": "client=null,transport=udp,upstream=null,",
        "latency.proxy.tx_upstream": "client=null,upstream=127.0.0.1,",
        "event.proxy.process": "client=null,upstream=127.0.0.1,",
        "gauge.proxy.sequence_id": "client=null,upstream=null,",
    }
    sink.until(lambda: sink.total("event.upstream.cx_read") == 25
               and sink.total("event.client.cx_close") == 5)
    for name, start in tags.items():
        assert any(
            line.startswith("dotproxy.%s,%s" % (name, start))
            for line in sink.lines), name
    assert sink.total("event.client.cx_read", "transport=udp") == 20
    assert sink.total("event.client.cx_read", "transport=tcp") == 5
    assert sink.total("event.client.cx_write") == 25
    assert sink.total("event.proxy.process") == 25
    assert sink.total("latency.proxy.tx_rtt") == pytest.approx(25)
    assert sink.total("size.proxy.request") == pytest.approx(25)
    assert sink.total("latency.proxy.tx_upstream") == pytest.approx(25)
    assert sink.gauge("gauge.proxy.sequence_id") == 25
    assert all("version=" + version in line for line in sink.lines)


def test_networks_of_clients_if_wanted(make_proxy, upstream, sink):
    proxy = make_proxy(
        upstream, settings=metrics(sink.port, "client tags yes")
        + "\nclient { statistics yes }")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.3.2.1", 0))
        sock.settimeout(10)
        for number in range(7):
            sock.sendto(make_query("%d.test" % number).to_wire(),
                        proxy.address)
            sock.recv(65535)
    sink.until(lambda: sink.total("event.client.cx_write") == 7)
    net = "addr=127.3.2.0%2F24,transport=udp"
    assert sink.total("event.client.cx_read", net) == 7
    assert sink.total("event.client.cx_write", net) == 7
    assert sink.total("event.client.cx_read", "addr=null") == 0
    assert "127.3.2.1" not in "".join(sink.datagrams)


def test_no_client_and_no_name_is_told(make_proxy, upstream, sink):
    proxy = make_proxy(
        upstream, settings=metrics(sink.port, address="::1"))
    sink6 = sink
    query = make_query("canary-of-mine.test")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.3.2.1", 0))
        sock.settimeout(10)
        sock.sendto(query.to_wire(), proxy.address)
        sock.recv(65535)
    sink6.until(lambda: sink6.total("event.listener.answered") == 1)
    text = "".join(sink6.datagrams)
    assert "canary" not in text and "127.3.2.1" not in text


def test_times_are_bounded_and_their_rate_is_right(
        make_proxy, upstream, sink):
    proxy = make_proxy(upstream, settings=metrics(sink.port))
    result = load(proxy.address, "-n", "20000", "-c", "50")
    assert result["answered"] == 20000
    sink.until(lambda: sink.total("event.listener.answered") == 20000)
    sink.quiet()
    for name in ("latency.proxy.tx_rtt", "size.proxy.request",
                 "size.proxy.response", "latency.proxy.tx_upstream"):
        assert sink.total(name) == pytest.approx(20000, rel=1e-4)
    for text in sink.flushes():
        assert text.count("|ms") <= 512


def test_sample_rate(make_proxy, upstream, sink):
    proxy = make_proxy(
        upstream, settings=metrics(sink.port, "sample rate 0.1"))
    ask(proxy, 200)
    sink.until(lambda: sink.total("event.listener.answered") == 200)
    sink.quiet()
    lines = sink.of("latency.proxy.tx_rtt")
    assert 20 <= len(lines) <= 30
    assert sink.total("latency.proxy.tx_rtt") == pytest.approx(200, rel=1e-4)


def test_payload_is_a_limit(make_proxy, upstream, sink):
    proxy = make_proxy(upstream, settings=metrics(sink.port, "payload 512"))
    ask(proxy, 30)
    sink.until(lambda: sink.total("event.listener.answered") == 30)
    assert 256 < max(sink.sizes) <= 512


def test_no_server_hurts_nobody(make_proxy, upstream):
    port = free_port()
    proxy = make_proxy(upstream, settings=metrics(port))

    def stat(name):
        return proxy.ctl_json("show", "stats")["listener"][name]

    lines = len(proxy.log().splitlines())
    eventually(lambda: stat("statsd_failed") >= 3, seconds=30)
    ask(proxy, 50)
    assert len(proxy.log().splitlines()) == lines
    # One that comes gets all that is counted from now on.
    with statsd.Sink(port) as sink:
        ask(proxy, 50)
        sink.until(lambda: sink.total("event.listener.answered") >= 50)
        sent = stat("statsd_sent")
        eventually(lambda: stat("statsd_sent") > sent, seconds=30)


def test_address_changes_by_reload(make_proxy, upstream, sink):
    proxy = make_proxy(upstream, settings=metrics(sink.port))
    ask(proxy, 10)
    sink.until(lambda: sink.total("event.listener.answered") == 10)
    with statsd.Sink() as other:
        proxy.file.write_text(proxy.file.read_text().replace(
            "port %d flush" % sink.port, "port %d flush" % other.port))
        proxy.reload()
        ask(proxy, 7)
        other.until(lambda: other.total("event.listener.answered") == 7)
        assert other.total("event.pool.answered") == 7
    proxy.file.write_text(re.sub(
        "metrics .*\n", "", proxy.file.read_text()))
    proxy.reload()
    sent = proxy.ctl_json("show", "stats")["listener"]["statsd_sent"]
    time.sleep(2)
    after = proxy.ctl_json("show", "stats")["listener"]["statsd_sent"]
    assert after == sent


def test_later_metrics_do_not_tell_of_before(make_proxy, upstream, sink):
    proxy = make_proxy(upstream)
    ask(proxy, 12)
    time.sleep(2.5)     # the pool must not be taken for a new one
    proxy.file.write_text(proxy.file.read_text() + metrics(sink.port))
    proxy.reload()
    sink.until(lambda: sink.of("gauge.pool.in_flight") or len(
        sink.of("gauge.listener.in_flight")) >= 3)
    ask(proxy, 3)
    sink.until(lambda: sink.total("event.pool.answered") == 3)
    assert sink.total("event.listener.answered") == 3
    assert sink.total("event.upstream.cx_read") == 3
    assert sink.total("latency.proxy.tx_upstream") == pytest.approx(3)


def test_a_new_pool_counts_from_nothing(make_proxy, upstream, sink):
    proxy = make_proxy(upstream, settings=metrics(sink.port))
    ask(proxy, 10)
    sink.until(lambda: sink.total("event.pool.answered") == 10)
    proxy.kill_child("pool")
    ask(proxy, 4)
    sink.until(lambda: sink.total("event.pool.answered") == 14)
    sink.quiet()
    assert sink.total("event.upstream.cx_read") == 14
    assert sink.total("event.listener.answered") == 14
    assert sink.total("latency.proxy.tx_upstream") == pytest.approx(14)


def test_workers_add_up(make_proxy, upstream, sink):
    proxy = make_proxy(
        upstream, settings=metrics(sink.port), workers=2)
    ask(proxy, 40)
    sink.until(lambda: sink.total("event.listener.answered") == 40)
    workers = {part for line in sink.of("gauge.listener.in_flight")
               for part in re.findall("worker=[0-9]", line)}
    assert workers == {"worker=1", "worker=2"}


@pytest.mark.skipif(os.geteuid() != 0, reason="looks into another process")
def test_only_the_listener_has_the_socket_and_it_stays_here(
        make_proxy, upstream, sink):
    proxy = make_proxy(upstream, settings=metrics(sink.port))
    peer = ("127.0.0.1", sink.port)
    assert statsd.sockets_to(proxy.child("pool"), peer) == []
    device, = statsd.sockets_to(proxy.child("listener"), peer)
    assert device == "lo"
    assert statsd.sockets_to(proxy.process.pid, peer) == []
    if not SANITIZED:   # that does without some of the confinement
        done = proxy.ctl("check", "security")
        assert done.returncode == 0, done.stdout


@pytest.mark.skipif(statsd.WHY_NOT, reason=str(statsd.WHY_NOT))
def test_a_real_server_understands_it(make_proxy, upstream, tmp_path):
    with statsd.Server(tmp_path) as server:
        proxy = make_proxy(
            upstream, settings=metrics(server.port, "flavour statsd"))
        ask(proxy, 20)
        ask(proxy, 5, tcp)
        eventually(lambda: server.counters().get(
            "dotproxy.event.upstream.cx_read.127_0_0_1.tcp") == 25,
            seconds=20)
        eventually(lambda: server.counters().get(
            "dotproxy.event.client.cx_read.udp") == 20, seconds=20)
        assert server.counters()["statsd.bad_lines_seen"] == 0
        assert server.gauges()["dotproxy.gauge.proxy.sequence_id"] == 25
        times = server.timers()
        assert len(times["dotproxy.latency.proxy.tx_rtt.udp"]) == 20
        assert len(times["dotproxy.size.proxy.response.tcp"]) == 5
        result = load(proxy.address, "-n", "5000", "-c", "50")
        assert result["answered"] == 5000
        eventually(lambda: server.counters().get(
            "dotproxy.event.client.cx_read.udp") == 5020, seconds=20)
        assert server.counters()["statsd.bad_lines_seen"] == 0
