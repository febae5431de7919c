# SPDX-License-Identifier: ISC
"""Processes at fault, and what is around them: docs/RELIABILITY.md."""

import os
import re
import signal
import time

import pytest

from dnsclient import eventually, is_right, make_query, tcp, udp
from programs import is_flawless
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
    eventually(lambda: len(proxy.children()) == 4 and not any(
        proxy.children()[name] == old[name] for name in stopped),
        60, "another of each")
    for name in set(old) - set(stopped):
        assert proxy.children()[name] == old[name]
    eventually(lambda: serves(proxy))


def test_parent_that_was_stopped_kills_nobody(proxy, background_load):
    """Nor does anybody miss it for as long as connections last."""
    running = background_load(proxy.address, "-r", "200", "-T", "12")
    old = proxy.children()
    os.kill(proxy.process.pid, signal.SIGSTOP)
    time.sleep(HANGS_S + INTERVAL_S)
    os.kill(old["pool"], signal.SIGSTOP)    # it owes an answer, now
    time.sleep(1)
    os.kill(proxy.process.pid, signal.SIGCONT)
    time.sleep(INTERVAL_S)
    os.kill(old["pool"], signal.SIGCONT)
    result = running.result()
    assert is_flawless(result), result
    time.sleep(INTERVAL_S + 1)
    assert proxy.children() == old
    assert killed_for_hanging(proxy) == []
    assert serves(proxy)
