# SPDX-License-Identifier: ISC
"""Children that die: replaced, while the ports never refuse."""

import os
import signal
import socket
import threading
import time

import dns.message
import pytest

from dnsclient import (
    Stream, eventually, is_right, is_servfail, make_query, tcp, udp)
from programs import (
    SANITIZED, descendants, is_alive, is_flawless, load, open_files)


def serves(proxy):
    query = make_query("www.test")
    return is_right(query, udp(proxy.address, query))


class Caller(threading.Thread):
    """Connects over TCP again and again; counts refusals."""

    def __init__(self, address):
        super().__init__()
        self.address = address
        self.calls = self.refused = 0
        self.done = threading.Event()
        self.start()

    def run(self):
        while not self.done.wait(0.01):
            self.calls += 1
            try:
                socket.create_connection(self.address, 10).close()
            except ConnectionRefusedError:
                self.refused += 1

    def finish(self):
        self.done.set()
        self.join()


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, signal.SIGABRT, pytest.param(
        signal.SIGSEGV, marks=pytest.mark.skipif(
            SANITIZED, reason="sanitizers make a report of it"))])
@pytest.mark.parametrize("role", ["listener", "pool"])
def test_killed_child_is_replaced_and_no_port_refuses(
        proxy, background_load, role, how):
    caller = Caller(proxy.address)
    running = background_load(proxy.address, "-r", "200", "-T", "5")
    time.sleep(1)
    proxy.kill_child(role, how)
    result = running.result()
    caller.finish()
    assert caller.calls > 50
    assert caller.refused == 0
    assert result["refused"] == 0
    assert result["wrong"] == result["duplicate"] == 0
    # What a dead listener had read is gone with it; all else is answered.
    assert result["lost"] <= (20 if role == "listener" else 0), result
    assert result["answered"] >= result["sent"] * 0.9, result
    assert serves(proxy)


def test_queries_in_flight_survive_the_pool(make_proxy, make_upstream):
    proxy = make_proxy(make_upstream("delay=500"), timeout="8s")
    queries = {i: make_query("n%d.test" % i, id=i) for i in range(20)}
    with Stream(proxy.address) as stream:
        stream.send(*(query.to_wire() for query in queries.values()))
        time.sleep(0.2)
        proxy.kill_child("pool")
        for _ in range(20):
            answer = dns.message.from_wire(stream.receive())
            assert is_right(queries.pop(answer.id), answer)


def test_both_children_killed_at_once(proxy):
    proxy.children_may_die = True
    old = proxy.children()
    for pid in old.values():
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: len(proxy.children()) == 2
               and not set(proxy.children().values()) & set(old.values()),
               seconds=60, what="new children")
    assert serves(proxy)
    query = make_query("www.test")
    assert is_right(query, tcp(proxy.address, query))


def test_stopped_pool_leaves_no_client_without_answer(make_proxy, upstream):
    proxy = make_proxy(upstream, timeout="500ms")
    pool = proxy.child("pool")
    os.kill(pool, signal.SIGSTOP)
    answer = udp(proxy.address, make_query("www.test", edns=1232))
    os.kill(pool, signal.SIGCONT)
    assert is_servfail(answer)
    assert answer.options
    eventually(lambda: serves(proxy))


def test_children_end_with_a_parent_that_is_killed(proxy):
    below = descendants(proxy.process.pid)
    assert len(below) >= 2
    proxy.process.kill()
    proxy.process.wait()
    eventually(lambda: not any(map(is_alive, below)), what="end of children")
    proxy.process = None


def test_nothing_grows_over_twenty_pool_kills(make_proxy, make_upstream):
    proxy = make_proxy(make_upstream("delay=20"), timeout="5s",
                       settings="client { max inflight 64 }")
    assert serves(proxy)
    before = [open_files(pid)
              for pid in (proxy.process.pid, proxy.child("listener"))]
    for i in range(20):
        time.sleep(1.1)     # what has lived for a second is replaced at once
        with Stream(proxy.address) as stream:
            stream.send(*(make_query("n%d-%d.test" % (i, k)).to_wire()
                          for k in range(30)))
            time.sleep(0.01)
            proxy.kill_child("pool")
            for _ in range(30):
                stream.receive()
    assert serves(proxy)
    # Every slot that a client may have is free again, or this would meet a
    # full table.
    result = load(proxy.address, "-q", "48", "-n", "1000")
    assert is_flawless(result), result

    def settled():
        after = [open_files(pid)
                 for pid in (proxy.process.pid, proxy.child("listener"))]
        return all(a <= b + 1 for a, b in zip(after, before))

    eventually(settled, what="as few open files as before")
