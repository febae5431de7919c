# SPDX-License-Identifier: ISC
"""The exporter: what it tells, and what it does not let be done to it."""

import json
import os
import pathlib
import re
import signal
import socket
import time

import pytest

import exporter
import programs
from dnsclient import eventually
from programs import ROOT, run


@pytest.fixture
def make_exporter(tmp_path):
    running = []

    def make(control, *args, **kw):
        folder = tmp_path / ("exporter%d" % len(running))
        folder.mkdir()
        running.append(exporter.Exporter(folder, control, *args, **kw))
        return running[-1]
    yield make
    for one in running:
        one.stop()


@pytest.fixture
def exported(proxy, make_exporter):
    return make_exporter(proxy.socket)


def ask(proxy, n, tcp=False):
    result = programs.load(
        proxy.address, "-n", str(n), *(["-t"] if tcp else []))
    assert programs.is_flawless(result)


def promtool(text):
    return run("promtool", "check", "metrics", input=text)


def test_promtool_finds_nothing_to_say(exported):
    done = promtool(exported.get("/metrics")[2].decode())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_counts_are_those_of_the_daemon(proxy, exported):
    ask(proxy, 200)
    ask(proxy, 100, tcp=True)
    found = exported.metrics()
    assert found.value("dotproxy_up") == 1
    assert found.value("dotproxy_queries_total", transport="udp") == 200
    assert found.value("dotproxy_queries_total", transport="tcp") == 100
    assert found.value("dotproxy_answers_total") == 300
    assert found.value("dotproxy_responses_total", rcode="NOERROR") == 300
    assert found.value("dotproxy_upstream_answers_total", upstream="up0") >= 300
    assert found.value("dotproxy_upstream_up", upstream="up0") == 1
    for role in ("parent", "listener", "pool"):
        assert found.value("dotproxy_process_up", process=role) == 1
        assert found.value(
            "dotproxy_process_resident_memory_bytes", process=role) > 1e5
        assert found.value(
            "dotproxy_process_cpu_seconds_total", process=role) >= 0


@pytest.mark.parametrize("name,labels,count", [
    ("dotproxy_client_rtt_seconds", {"transport": "udp"}, 200),
    ("dotproxy_query_size_bytes", {"transport": "udp"}, 200),
    ("dotproxy_response_size_bytes", {"transport": "udp"}, 200),
    ("dotproxy_upstream_latency_seconds", {"upstream": "up0"}, 200),
    ("dotproxy_upstream_open_seconds", {"upstream": "up0"}, 1)])
def test_histograms_are_cumulative(proxy, exported, name, labels, count):
    ask(proxy, 200)
    found = exported.metrics()
    wanted = set(labels.items())
    buckets = sorted(
        (float(dict(key)["le"]), value) for (n, key), value in found.items()
        if n == name + "_bucket" and wanted <= key)
    values = [value for _, value in buckets]
    assert len(buckets) > 15
    assert values == sorted(values)
    assert buckets[-1][0] == float("inf")
    assert values[-1] == found.value(name + "_count", **labels) >= count
    assert found.value(name + "_sum", **labels) > 0


def test_every_counter_of_the_daemon_is_a_metric(proxy, exported):
    """Also those that come later: each is used in metrics.c or by its name."""
    source = (ROOT / "dotproxyctl/metrics.c").read_text()
    names = exported.metrics().names()
    stats = proxy.ctl_json("show", "stats")
    for role, letter in (("listener", "L"), ("pool", "T")):
        for name in set(stats[role]) - {"uptime_ms"}:
            plain = "dotproxy_%s_%s" % (role, name)
            assert ("%sSTAT_%s," % (letter, name) in source
                    or names & {plain, plain + "_total"}), name


def test_openmetrics_for_who_prefers_it(exported):
    accept = ("application/openmetrics-text;version=1.0.0;q=0.5,"
              "text/plain;version=0.0.4;q=0.2,*/*;q=0.1")
    _, headers, body = exported.get("/metrics", Accept=accept)
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    text = body.decode()
    assert text.endswith("\n# EOF\n") and text.count("# EOF") == 1
    assert "# TYPE dotproxy_queries counter\n" in text
    assert "# UNIT dotproxy_client_rtt_seconds seconds\n" in text
    _, headers, body = exported.get("/metrics", Accept="text/plain, */*;q=0.1")
    assert headers["Content-Type"] == \
        "text/plain; version=0.0.4; charset=utf-8"
    assert b"# EOF" not in body


def test_daemon_that_is_down_and_comes_back(tmp_path, make_proxy, upstream,
                                            make_exporter):
    exported = make_exporter(tmp_path / "d0" / "ctl")
    status, _, body = exported.get("/metrics")
    assert status == 200
    assert exporter.parse(body.decode()).value("dotproxy_up") == 0
    assert promtool(body.decode()).stderr == ""
    status, _, body = exported.get("/api/state")
    assert status == 200
    state = json.loads(body)
    assert state["ok"] is False and "not running" in state["error"]
    folder = tmp_path / "d0"
    folder.mkdir()
    proxy = programs.Daemon(folder)
    proxy.configure(upstream)
    proxy.start()
    try:
        eventually(lambda: exported.metrics().value("dotproxy_up") == 1,
                   what="the exporter to see the daemon")
    finally:
        proxy.stop()
    eventually(lambda: exported.metrics().value("dotproxy_up") == 0,
               what="the exporter to miss the daemon")


def test_workers_have_a_label_each(make_proxy, make_exporter, upstream):
    proxy = make_proxy(upstream, workers=2)
    ask(proxy, 200)
    exported = make_exporter(proxy.socket)
    body = exported.get("/metrics")[2].decode()
    assert promtool(body).stderr == ""
    found = exporter.parse(body)
    assert found.value("dotproxy_workers") == 2
    assert sum(found.value("dotproxy_queries_total", transport="udp",
                           worker=worker) for worker in "12") == 200
    assert found.value("dotproxy_worker_up", worker="2") == 1
    state = json.loads(exported.get("/api/state")[2])
    assert state["queries"]["received"] == 200 and state["workers"] == 2


def test_upstream_that_is_down_is_told(make_proxy, make_exporter, upstream):
    dead = programs.upstream_block("dead", programs.free_port(),
                                   upstream.pki.ca)
    proxy = make_proxy(upstream, dead, settings="policy round-robin")
    exported = make_exporter(proxy.socket)
    ask(proxy, 10)
    eventually(lambda: exported.metrics().value(
        "dotproxy_upstream_up", upstream="dead") == 0, what="a failure")
    found = exported.metrics()
    assert found.value("dotproxy_upstream_up", upstream="up0") == 1
    assert found.value("dotproxy_health", verdict="degraded") == 1
    assert found.value("dotproxy_upstream_failures_total", upstream="dead",
                       phase="connect") > 0


def shape(value):
    """The keys of a document, without the values."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return []
    return None


def test_state_is_what_show_all_prints(proxy, exported):
    _, headers, body = exported.get("/api/state")
    assert headers["Content-Type"] == "application/json"
    assert shape(json.loads(body)) == shape(proxy.ctl_json("show", "all"))


PAGES = ["/", "/page.css", "/page.js", "/page.svg", "/metrics", "/api/state"]


@pytest.mark.parametrize("path", PAGES)
def test_answers_say_what_a_browser_must_not_do(exported, path):
    status, headers, body = exported.get(path)
    assert status == 200 and len(body) > 50
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "http" not in policy and "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in headers
    # HEAD says the same, without the body.
    status, again, nothing = exported.get(path, "HEAD")
    assert status == 200 and nothing == b""
    assert again["Content-Type"] == headers["Content-Type"]


@pytest.mark.parametrize("request_line,status", [
    ("GET /nothing HTTP/1.1", 404),
    ("GET /nothing?x=1 HTTP/1.1", 404),
    ("GET /../etc/passwd HTTP/1.1", 404),
    ("GET http://localhost/metrics HTTP/1.1", 400),
    ("GET /" + "a" * 100 + " HTTP/1.1", 414),
    ("POST /metrics HTTP/1.1", 405),
    ("OPTIONS * HTTP/1.1", 405),
    ("GET /metrics HTTP/2.0", 505),
    ("GET /metrics", 400),
    ("\x16\x03\x01", 400)])
def test_other_requests_are_refused(exported, request_line, status):
    answer = exported.raw(
        (request_line + "\r\nHost: localhost\r\n\r\n").encode("latin1"))
    assert answer.startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize("host,status", [
    ("localhost", 200), ("localhost:9153", 200), ("127.0.0.1:1", 200),
    ("127.9.9.9", 200), ("[::1]:9153", 200), ("LOCALHOST", 200),
    ("evil.example", 421), ("localhost.evil.example", 421),
    ("127.0.0.1.evil.example", 421), ("10.0.0.1", 421), ("", 421)])
def test_names_that_rebinding_could_have_made_are_refused(
        exported, host, status):
    answer = exported.raw(
        b"GET /metrics HTTP/1.1\r\nHost: %s\r\n\r\n" % host.encode())
    assert answer.startswith(b"HTTP/1.1 %d " % status)


def test_body_is_refused_and_the_refusal_arrives(exported):
    answer = exported.raw(
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Length: 100000\r\n\r\n" + b"x" * 100000)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_head_that_never_ends_is_refused(exported):
    answer = exported.raw(
        b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 1400)
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_slow_clients_are_ended_and_keep_nobody_out(exported):
    """One byte a second each, from as many as there is room for, and more."""
    slow = [socket.create_connection(exported.address) for _ in range(80)]
    try:
        alive = set(slow)
        deadline = time.monotonic() + 60
        while alive and time.monotonic() < deadline:
            for sock in list(alive):
                try:
                    sock.send(b"G")
                    sock.setblocking(False)
                    if sock.recv(4096):
                        alive.discard(sock)
                except BlockingIOError:
                    sock.setblocking(True)
                except OSError:
                    alive.discard(sock)
            time.sleep(1)
        assert not alive
        assert exported.metrics().value("dotproxy_up") == 1
    finally:
        for sock in slow:
            sock.close()


def test_who_holds_all_places_yields_to_who_asks(exported):
    slow = [socket.create_connection(exported.address, 20) for _ in range(64)]
    for sock in slow:
        sock.sendall(b"G")
    try:
        assert exported.metrics().value("dotproxy_up") == 1
        # Its time was not up, of which it would have been told: 408.
        assert exporter.read_all(slow[0]) == b""
        # The others stay.
        assert slow[-1].send(b"ET / HTTP/1.0\r\n\r\n")
        assert exporter.read_all(slow[-1]).startswith(b"HTTP/1.1 200 ")
    finally:
        for sock in slow:
            sock.close()


def test_client_that_does_not_read_holds_up_nobody(exported):
    sock = socket.create_connection(exported.address)
    sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert exported.metrics().value("dotproxy_up") == 1
    sock.close()


def test_request_in_single_bytes(exported):
    with socket.create_connection(exported.address, 20) as sock:
        for byte in b"GET /api/state HTTP/1.0\r\n\r\n":
            sock.sendall(bytes([byte]))
        assert exporter.read_all(sock).startswith(b"HTTP/1.1 200 ")


def test_daemon_that_hangs_is_down(proxy, exported):
    listener = proxy.child("listener")
    os.kill(listener, signal.SIGSTOP)
    try:
        assert exported.metrics().value("dotproxy_up") == 0
    finally:
        os.kill(listener, signal.SIGCONT)
    eventually(lambda: exported.metrics().value("dotproxy_up") == 1,
               what="the daemon to answer again")


def test_several_addresses_and_a_path(proxy, make_exporter, tmp_path):
    path = tmp_path / "exporter.sock"
    exported = make_exporter(proxy.socket, "-l", "127.0.0.1:0",
                             "-l", "[::1]:0", "-l", str(path))
    (v4, port4), (v6, port6) = exported.addresses
    assert exporter.get((v4, int(port4)), "/metrics")[0] == 200
    assert exporter.get((v6, int(port6)), "/metrics")[0] == 200
    assert path.stat().st_mode & 0o777 == 0o660
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: any\r\n\r\n")
        assert exporter.read_all(sock).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("argument,complaint", [
    ("localhost:9153", "not address:port"),
    ("127.0.0.1", "not address:port"),
    ("127.0.0.1:99999", "not address:port"),
    ("::1:9153", "not address:port"),
    ("192.0.2.1:9153", "Cannot assign requested address")])
def test_bad_addresses_are_named(tmp_path, argument, complaint):
    done = run(programs.CTL, "-s", str(tmp_path / "x"), "-l", argument,
               "-u", "nobody", "exporter")
    assert done.returncode == 1
    assert argument in done.stderr and complaint in done.stderr


def status_of(pid):
    text = pathlib.Path("/proc/%d/status" % pid).read_text()
    return dict(re.findall(r"^(\w+):\t(.*)$", text, re.M))


@pytest.mark.skipif(os.geteuid() != 0, reason="as one started as root")
def test_both_halves_are_confined(exported):
    reader, server = status_of(exported.reader), status_of(exported.server)
    for status in (reader, server):
        for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[caps], 16) == 0
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert "0" not in server["Uid"].split() + server["Gid"].split()
    assert server["Groups"].split() == []
    pid = exported.server
    assert os.listdir("/proc/%d/root" % pid) == []
    for space in ("net", "mnt", "ipc", "uts"):
        assert (os.readlink("/proc/%d/ns/%s" % (pid, space))
                != os.readlink("/proc/self/ns/" + space))
    kinds = {os.readlink("/proc/%d/fd/%s" % (pid, fd)).split(":")[0]
             for fd in os.listdir("/proc/%d/fd" % pid)}
    assert kinds <= {"/dev/null", "socket", "anon_inode", "pipe"}
    # Nor does the reader hold what the server listens on.
    kinds = [os.readlink("/proc/%d/fd/%s" % (exported.reader, fd))
             for fd in os.listdir("/proc/%d/fd" % exported.reader)]
    assert sum(kind.startswith("socket:") for kind in kinds) == 1


def test_end_of_one_half_is_the_end_of_the_other(proxy, make_exporter,
                                                 tmp_path):
    exported = exporter.Exporter(tmp_path, proxy.socket)
    os.kill(exported.server, signal.SIGKILL)
    assert exported.process.wait(20) == 1
    assert "killed by signal 9" in exported.log()
    exported = exporter.Exporter(tmp_path, proxy.socket)
    server = exported.server
    exported.process.kill()
    exported.process.wait()
    eventually(lambda: not programs.is_alive(server), what="its end")
