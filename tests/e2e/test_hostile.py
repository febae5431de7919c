# SPDX-License-Identifier: ISC
"""
A child that was taken over: tests/support/hostile.c in the place of one.  The
parent survives it, keeps the ports, and hands out no more than it may; the
listener gives no client a wrong answer, and every one an answer.
"""

import concurrent.futures
import os
import pathlib
import re
import shutil
import socket
import time

import dns.message
import pytest

import programs
from dnsclient import (
    Stream, eventually, is_servfail, make_query, udp, udp_socket)
from programs import BUILD, open_files

HOSTILE = BUILD / "tests/hostile"
SANITIZED = b"__asan_init" in HOSTILE.read_bytes()
POOL_SIZE = 2
QUEUED_FDS = 160            # IMSG_FDS_MAX: those waiting to be sent
CONNECT_BURST = 16 + 4 * POOL_SIZE
CONNECTS_PER_SECOND = 64
LOG_LINES_PER_SECOND = 50
STARTS_IN_2_S = 9           # 50, 100, 200, 400, 800 ms; and a slow machine

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the confinement of one started as root")


class Hostile(programs.Daemon):
    """The daemon with one child replaced; its name chooses the attack."""

    def __init__(self, folder, role, attack):
        tree = folder / attack
        for name in "sbin", "libexec/dotproxy":
            (tree / name).mkdir(parents=True)
        program = tree / "sbin/dotproxy"
        shutil.copy(programs.DOTPROXY, program)
        for name in "listener", "pool":
            source = BUILD / "libexec/dotproxy" / ("dotproxy-" + name)
            place = tree / "libexec/dotproxy" / ("dotproxy-" + name)
            if name == role:
                shutil.copy(HOSTILE, place)
            else:
                place.symlink_to(source)
        super().__init__(folder)
        self.command = [str(program)]
        self.children_may_die = True
        self.role = role
        self.attack = attack

    def _ready(self):
        assert self.process.poll() is None, self.log()
        return "started" in self.log()

    def lines(self):
        return self.log().splitlines()

    def starts(self):
        return 1 + len(re.findall(
            r"%s process \(pid \d+\) died" % self.role, self.log()))

    def assert_holds_the_ports(self):
        assert self.process.poll() is None, self.log()
        socket.create_connection(self.address, 5).close()
        with udp_socket(self.address) as sock:
            for _ in range(3):
                sock.send(b"x")     # an ICMP error would be seen here
                time.sleep(0.01)


@pytest.fixture
def make_hostile(tmp_path, upstream):
    """Makes daemons that are ended after the test, with status 0."""
    made = []

    def make(role, attack, upstream=upstream, **kw):
        folder = tmp_path / ("%s-%s" % (role, attack))
        folder.mkdir()
        daemon = Hostile(folder, role, attack)
        daemon.configure(
            upstream.block("up", "pool size %d" % POOL_SIZE), **kw)
        made.append(daemon)
        daemon.start()
        return daemon

    yield make
    with concurrent.futures.ThreadPoolExecutor() as threads:
        for done in [threads.submit(daemon.stop) for daemon in made]:
            done.result()


# --- breaches of the protocol: the child is killed, and starts again ---

BREACHES = {
    "early": "not accepted in this phase",
    "ready-twice": "not accepted in this phase",
    "parents-type": "type not accepted",
    "siblings-type": "type not accepted",
    "no-type": "type not accepted",
    "too-long": "size not accepted",
    "too-short": "size not accepted",
    "no-level": "bad payload",
    "bad-payload": "bad payload",
    "flags": "unknown flags",
    "fd": "descriptor not accepted",
    "stray-fd": "descriptor without message",
    "many-fds": "descriptor",
    "no-fd": "descriptor not accepted",
    "pong-unasked": "bad payload",
    "garbage": "type not accepted|unknown flags|size not accepted",
}


@pytest.mark.parametrize("role", ["listener", "pool"])
def test_breach_of_the_protocol_costs_the_child_only(make_hostile, role):
    # What a child does before it was ever ready is the operator's to see.
    attacks = dict(BREACHES)
    del attacks["early"]
    daemons = [make_hostile(role, attack) for attack in attacks]
    files = [open_files(daemon.process.pid) for daemon in daemons]
    time.sleep(1.5)
    for daemon, before in zip(daemons, files):
        what = daemon.attack + "\n" + daemon.log()
        daemon.assert_holds_the_ports()
        assert re.search("%s: killed: .*(%s)" % (
            role, attacks[daemon.attack]), daemon.log()), what
        assert 2 <= daemon.starts() <= 2 * STARTS_IN_2_S, what
        assert len(daemon.lines()) <= 8 + 3 * daemon.starts(), what
        assert open_files(daemon.process.pid) <= before + 6, what


def test_news_of_an_upstream_that_is_none_is_a_breach(make_hostile):
    daemon = make_hostile("pool", "health-of-none")
    eventually(lambda: "pool: killed: bad payload" in daemon.log())
    daemon.assert_holds_the_ports()


@pytest.mark.parametrize("role", ["listener", "pool"])
def test_child_that_goes_is_started_with_growing_delays(make_hostile, role):
    daemons = [make_hostile(role, attack) for attack in (
        "exit", "heir", "hang-up", "abort", "fatal")]
    time.sleep(2)
    starts = {daemon.attack: daemon.starts() for daemon in daemons}
    for daemon in daemons:
        daemon.assert_holds_the_ports()
        assert 3 <= daemon.starts() <= 2 * STARTS_IN_2_S, starts
        assert len(daemon.lines()) <= 8 + 3 * daemon.starts()
    *_, aborted, fatal = [daemon.log() for daemon in daemons]
    # Those two are confined: what ends a process still works in there.
    assert "died: signal 6 (Aborted)" in aborted
    assert "Bad system call" not in aborted
    assert "error: %s: last words: Inappropriate ioctl" % role in fatal
    assert "died: exit status 1" in fatal


@pytest.mark.parametrize("role", ["listener", "pool"])
@pytest.mark.parametrize("attack", ["early", "exit-at-once"])
def test_child_that_never_starts_ends_the_start(tmp_path, upstream, role,
                                                attack):
    """At the start that is a mistake to be seen, not a fault to be borne."""
    daemon = Hostile(tmp_path, role, attack)
    daemon.configure(upstream)
    done = programs.run(*daemon.command, "-d", "-f", str(daemon.file))
    assert done.returncode == 1
    assert "%s process" % role in done.stderr


def test_pool_cannot_refuse_what_it_had_accepted(make_hostile):
    """At the start its refusal ends the daemon; later it ends the pool."""
    daemon = make_hostile("pool", "refuse")
    eventually(lambda: daemon.starts() > 2)
    daemon.assert_holds_the_ports()


def test_child_that_reads_nothing_stops_nobody(make_hostile):
    listener, pool = [make_hostile(role, "deaf", timeout="500ms")
                      for role in ("listener", "pool")]
    time.sleep(0.5)
    listener.assert_holds_the_ports()
    pool.assert_holds_the_ports()
    assert is_servfail(udp(pool.address, make_query("www.test")))


# --- floods ---

def flooded(daemon, seconds):
    """Lets it go on; returns the most descriptors the parent had."""
    most = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        most = max(most, open_files(daemon.process.pid))
        time.sleep(0.02)
    daemon.assert_holds_the_ports()
    return most


def resident_kib(pid):
    status = pathlib.Path("/proc/%d/status" % pid).read_text()
    return int(re.search(r"VmRSS:\s*(\d+)", status).group(1))


@pytest.mark.parametrize("attack", ["flood-connect", "flood-connect-deaf"])
def test_pool_gets_no_more_sockets_than_it_may(
        make_hostile, make_upstream, attack):
    upstream = make_upstream()
    start = time.monotonic()
    daemon = make_hostile("pool", attack, upstream)
    most = flooded(daemon, 1)
    connections = upstream.stats()["connections"]
    seconds = time.monotonic() - start
    limit = CONNECT_BURST + CONNECTS_PER_SECOND * seconds
    assert CONNECT_BURST <= connections <= limit + 1
    assert most <= 40 + QUEUED_FDS
    assert len(daemon.lines()) < 20, daemon.log()


@pytest.mark.parametrize("role,attack", [
    ("listener", "flood-log"), ("pool", "flood-log"),
    ("listener", "flood-log-level"), ("listener", "flood-reload"),
    ("listener", "flood-change"), ("listener", "flood-config"),
    ("listener", "flood-config-deaf"),
    ("listener", "flood-link-down"), ("pool", "flood-link-down"),
    ("pool", "flood-conf-done"),
])
def test_flood_is_bounded(make_hostile, role, attack):
    start = time.monotonic()
    daemon = make_hostile(role, attack)
    most = flooded(daemon, 0.7)
    seconds = time.monotonic() - start
    lines = daemon.lines()
    assert len(lines) <= 40 + LOG_LINES_PER_SECOND * (seconds + 1), attack
    assert not [line for line in lines if line.startswith("dotproxy: forged")]
    assert most <= 40 + QUEUED_FDS
    if not SANITIZED:   # that keeps what was freed
        assert resident_kib(daemon.process.pid) < 50000


def test_flood_of_news_leaves_the_service_manager_alone(
        manager, make_hostile):
    start = time.monotonic()
    daemon = make_hostile("pool", "flood-health")
    flooded(daemon, 2.5)
    told = manager.words("STATUS")
    assert 2 <= len(told) <= 2 + time.monotonic() - start, told
    for line in told:
        assert re.fullmatch(r"[01] of 1 upstream up(, 1 not known yet|"
                            r"; up down: [ -~]+)?", line)
    assert len(daemon.lines()) < 20, daemon.log()


# --- the pool against the listener ---

LIES = ["mute", "other-handles", "crosswise", "query-back", "other-question",
        "beforehand", "answer-too-long", "answer-too-short", "failed", "info",
        "info-text", "flood-answers"]


def more_answers(sock, seconds):
    """What else comes in some time."""
    sock.settimeout(seconds)
    try:
        return [sock.recv(65535)]
    except (BlockingIOError, socket.timeout):
        return []


def test_lies_of_the_pool_reach_no_client(make_hostile):
    """Each client gets SERVFAIL in time, once."""
    daemons = [make_hostile("pool", lie, timeout="800ms") for lie in LIES]
    over_udp, over_tcp = [], []
    for name in ["n%d.test" % i for i in range(8)] + ["early.test"]:
        for daemon in daemons:
            query = make_query(name)
            sock = udp_socket(daemon.address)
            sock.send(query.to_wire())
            over_udp.append((daemon.attack, sock, query))
    for daemon in daemons:
        query = make_query("tcp.test")
        stream = Stream(daemon.address)
        stream.send(query.to_wire())
        over_tcp.append((daemon.attack, stream, query))
    got = [(what, query, sock.recv(65535))
           for what, sock, query in over_udp]
    got += [(what, query, stream.receive())
            for what, stream, query in over_tcp]
    for attack, query, wire in got:
        answer = dns.message.from_wire(wire)
        assert answer.id == query.id, attack
        assert answer.question == query.question, attack
        assert is_servfail(answer), (attack, answer)
    for attack, sock, _ in over_udp:
        assert not more_answers(sock, 0), attack
        sock.close()
    for attack, stream, _ in over_tcp:
        assert not more_answers(stream.sock, 0.001), attack
        stream.sock.close()
    for daemon in daemons:
        daemon.assert_holds_the_ports()
        assert daemon.ctl("show", "config").returncode == 0


def test_answer_the_pool_gives_thrice_is_given_once(make_hostile):
    daemon = make_hostile("pool", "thrice")
    for i in range(10):
        query = make_query("n%d.test" % i)
        with udp_socket(daemon.address) as sock:
            sock.send(query.to_wire())
            answer = dns.message.from_wire(sock.recv(65535))
            assert not more_answers(sock, 0.05)
        assert answer.id == query.id
        assert not is_servfail(answer)
