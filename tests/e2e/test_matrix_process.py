# SPDX-License-Identifier: ISC
"""Processes at fault, and what is around them: docs/RELIABILITY.md."""

import contextlib
import os
import pathlib
import re
import resource
import signal
import struct
import time

import pytest

import programs
from dnsclient import (
    Stream, eventually, is_right, is_servfail, make_query, tcp, udp)
from programs import Daemon, is_flawless, load
from test_hostile import make_hostile   # noqa: F401: a fixture

HANGS_S = 9         # PULSE_MISSED_MAX * PULSE_MS of dotproxy/parent/pulse.c
INTERVAL_S = 3


def serves(proxy):
    query = make_query("www.test")
    return (is_right(query, udp(proxy.address, query))
            and is_right(query, tcp(proxy.address, query)))


def killed_for_hanging(daemon):
    return re.findall(r"warn: ([\w ]+): killed: hangs", daemon.log())


# --- hangs ---

@pytest.mark.parametrize("role", ["listener", "pool"])
def test_child_that_is_stopped_is_replaced(
        make_proxy, upstream, background_load, role):
    """Under load.  The pool's queries end in SERVFAIL, in time; those that a
    listener has not read wait in the socket for the next one."""
    proxy = make_proxy(upstream, timeout="1s")
    running = background_load(
        proxy.address, "-r", "200", "-q", "4000", "-T", "16")
    time.sleep(1)
    proxy.children_may_die = True
    old = proxy.children()
    os.kill(old[role], signal.SIGSTOP)
    start = time.monotonic()
    eventually(lambda: proxy.children().get(role, old[role]) != old[role],
               seconds=60, what="another " + role)
    assert time.monotonic() - start > HANGS_S - INTERVAL_S
    assert killed_for_hanging(proxy) == [role]
    sibling = {"listener": "pool", "pool": "listener"}[role]
    assert proxy.children()[sibling] == old[sibling]
    eventually(lambda: serves(proxy))
    result = running.result()
    assert result["wrong"] == result["duplicate"] == 0, result
    assert result["refused"] == 0, result
    if role == "pool":
        assert result["lost"] == 0, result
    shown = proxy.ctl("show", "processes").stdout
    assert "signal 9" in shown, shown


def test_child_in_an_endless_loop_is_replaced(make_hostile):
    daemon = make_hostile("pool", "spin")
    eventually(lambda: daemon.starts() > 1, 60, "another pool")
    assert killed_for_hanging(daemon)
    daemon.assert_holds_the_ports()


def test_worker_that_hangs_leaves_the_other_alone(make_proxy, upstream):
    proxy = make_proxy(upstream, workers=2)
    proxy.children_may_die = True
    old = proxy.children()
    stopped = ["listener 1", "pool 2"]
    for name in stopped:
        os.kill(old[name], signal.SIGSTOP)

    def replaced():
        now = proxy.children()
        return len(now) == 4 and all(
            now[name] != old[name] for name in stopped)

    eventually(replaced, 60, "another of each")
    for name in set(old) - set(stopped):
        assert proxy.children()[name] == old[name]
    eventually(lambda: serves(proxy))


def test_parent_that_was_stopped_kills_nobody(proxy, background_load):
    """Nor does anybody miss it for as long as connections last."""
    running = background_load(proxy.address, "-r", "200",
                              "-T", str(HANGS_S + INTERVAL_S))
    old = proxy.children()
    os.kill(proxy.process.pid, signal.SIGSTOP)
    result = running.result()
    assert is_flawless(result), result
    os.kill(old["pool"], signal.SIGSTOP)    # it owes an answer, now
    time.sleep(1)
    os.kill(proxy.process.pid, signal.SIGCONT)
    time.sleep(INTERVAL_S)
    os.kill(old["pool"], signal.SIGCONT)
    time.sleep(INTERVAL_S + 1)
    assert proxy.children() == old
    assert killed_for_hanging(proxy) == []
    assert serves(proxy)


# --- a log that nobody takes ---

class Unlogged(Daemon):
    """Its standard error is a place of another kind."""

    def __init__(self, folder, place):
        super().__init__(folder)
        self.log_file = place
        self.children_may_die = True

    def log(self):
        return ""


def full(stack):
    """A disk that is full."""
    del stack
    return "/dev/full"


def unread(stack):
    """A pipe that nobody reads, and is full."""
    ends = os.pipe()
    for end in ends:
        stack.callback(os.close, end)
    os.set_blocking(ends[1], False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(ends[1], b"x" * 4096)
    return "/proc/self/fd/%d" % ends[1]


@pytest.mark.parametrize("place", [full, unread])
def test_log_that_is_not_taken_stops_nobody(tmp_path, upstream, place):
    with contextlib.ExitStack() as stack:
        daemon = Unlogged(tmp_path, place(stack))
        daemon.configure(upstream)
        stack.callback(daemon.stop)
        daemon.start("--verbosity", "debug")
        result = load(daemon.address, "-n", "1000")
        assert is_flawless(result), result
        daemon.reload()
        daemon.kill_child("pool")
        daemon.kill_child("listener")
        eventually(lambda: serves(daemon))


# --- too little memory ---

def address_space(pid):
    """In bytes."""
    pages = pathlib.Path("/proc/%d/statm" % pid).read_text().split()[0]
    return int(pages) * resource.getpagesize()


@pytest.mark.skipif(programs.SANITIZED, reason="that needs all addresses")
def test_too_little_memory_is_not_the_end(
        make_proxy, start_daemon, upstream, tmp_path):
    """RLIMIT_AS, little more than each needs to start.  Who cannot be given
    some is turned away; a child that cannot go on without is replaced."""
    proxy = make_proxy(upstream)
    assert serves(proxy)
    limit = max(map(address_space, proxy.pids())) + (1 << 20)
    folder = tmp_path / "limited"
    folder.mkdir()
    daemon = Daemon(folder)
    daemon.configure(upstream)
    daemon.command = ["prlimit", "--as=%d" % limit, *daemon.command]
    daemon.children_may_die = True
    start_daemon(daemon)
    for turn in range(5):
        with contextlib.ExitStack() as clients:
            for i in range(60):
                stream = clients.enter_context(Stream(daemon.address))
                with contextlib.suppress(OSError):
                    stream.send(*[make_query(
                        "size-60000.n%d-%d.test" % (i, k), "TXT").to_wire()
                        for k in range(10)])
            time.sleep(0.3)
    assert daemon.process.poll() is None, daemon.log()
    eventually(lambda: serves(daemon), 30)


@pytest.mark.skipif(programs.SANITIZED, reason="that needs all addresses")
def test_all_processes_with_little_memory(tmp_path, upstream, start_daemon):
    """128 MiB of addresses each is enough for the default limits."""
    daemon = Daemon(tmp_path)
    daemon.configure(upstream)
    daemon.command = ["prlimit", "--as=%d" % (128 << 20), *daemon.command]
    start_daemon(daemon)
    for args in (("-q", "500", "-n", "10000"),
                 ("-t", "-c", "500", "-q", "500", "-n", "10000")):
        result = load(daemon.address, *args)
        assert is_flawless(result), result


# --- clocks that jump ---

class Clocks:
    """The pool's, which are ahead by as much as is written there."""

    MARK = b"clocks are ahead"

    def __init__(self, pid):
        self.path = "/proc/%d/mem" % pid
        for line in pathlib.Path("/proc/%d/maps" % pid).read_text().split(
                "\n"):
            if "rw-p" not in line or "dotproxy-pool" not in line:
                continue
            start, end = [int(part, 16) for part in
                          line.split()[0].split("-")]
            with open(self.path, "rb") as memory:
                memory.seek(start)
                at = memory.read(end - start).find(self.MARK)
            if at != -1:
                self.at = start + at + len(self.MARK)
        assert self.at

    def set(self, real=0, boot=0):
        with open(self.path, "r+b", 0) as memory:
            memory.seek(self.at)
            memory.write(struct.pack("=2q", real, boot))


@pytest.fixture
def timed(tmp_path, upstream, start_daemon):
    """A daemon and its pool's clocks."""
    daemon = Daemon(tmp_path)
    tree = tmp_path / "tree"
    tree.mkdir()
    daemon.command = [programs.relink(
        tree, "jump_clock.c", [], [], ["pool"])]
    # A connection that ends is made anew, in full.
    daemon.configure(upstream.block("up", "resumption no"))
    start_daemon(daemon)
    assert serves(daemon)
    return daemon, Clocks(daemon.child("pool"))


DAY = 24 * 3600
WITH_CLOCKS = pytest.mark.skipif(
    os.geteuid() != 0 or programs.SANITIZED,
    reason="root writes to its memory; sanitizers are linked otherwise")


@WITH_CLOCKS
@pytest.mark.parametrize("days,said", [
    (60, "certificate has expired on"), (-400, "is not valid before")])
def test_wall_clock_that_jumps(timed, upstream, days, said):
    """What is open stays, what is new is judged by the clock there is, and
    when the clock is right again so is everything."""
    proxy, clocks = timed
    result = load(proxy.address, "-q", "10", "-n", "200")
    clocks.set(real=days * DAY)
    assert is_flawless(result), result
    result = load(proxy.address, "-q", "10", "-n", "1000")
    assert is_flawless(result), result
    assert upstream.command("close") == "ok"
    query = make_query("www.test", edns=1232)
    eventually(lambda: is_servfail(udp(proxy.address, query)),
               what="the end of the last connection")
    assert said in proxy.log(), proxy.log()
    clocks.set()
    eventually(lambda: serves(proxy))
    assert len(proxy.log().splitlines()) < 10, proxy.log()


@WITH_CLOCKS
def test_machine_that_was_suspended(timed, upstream):
    """The clock that counts that is ahead of the one that does not."""
    proxy, clocks = timed
    before = upstream.stats()["connections"]
    clocks.set(boot=3600)
    eventually(lambda: "slept for 3600 s" in proxy.log(), what="a note of it")
    result = load(proxy.address, "-q", "10", "-n", "1000")
    assert is_flawless(result), result
    assert upstream.stats()["connections"] > before
    clocks.set()
    result = load(proxy.address, "-q", "10", "-n", "1000")
    assert is_flawless(result), result
    assert proxy.log().count("slept for") == 1
