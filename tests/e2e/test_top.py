# SPDX-License-Identifier: ISC
"""dotproxyctl top and watch, in a real terminal: tmux plays it."""

import os
import pty
import signal
import subprocess

import pytest

from dnsclient import eventually, make_query, udp
from programs import CTL
from terminal import Terminal


@pytest.fixture
def terminal(tmp_path):
    made = []

    def make(proxy, *args, **kw):
        # Of tmux, the status of one that ended is not always to be had.
        line = "%s -s %s %s; echo exit status $?; exec sleep 60" % (
            CTL, proxy.socket, " ".join(args))
        made.append(Terminal(tmp_path, line, **kw))
        return made[-1]
    yield make
    for one in made:
        one.close()


def test_top_in_a_terminal(make_proxy, make_upstream, terminal):
    proxy = make_proxy(make_upstream().block("first"),
                       make_upstream().block("second"))
    udp(proxy.address, make_query("www.test"))
    term = terminal(proxy, "-i", "0.2", "top")
    term.shows("ok: 2 upstreams up", "first", "second", "FAILURES",
               "sort: none", "queries/s")
    term.keys("s")
    term.shows("sort: q/s")
    term.keys("c")
    term.shows("CIPHER", "ready", "TLSv1.3", "sort: none")
    term.keys("p")
    term.shows("CPU%", "listener", "pool", "parent")
    term.keys("e")
    term.shows("WHAT WENT WRONG")
    term.keys("p")
    term.tmux("resize-window", "-x", "60", "-y", "12")
    term.shows("CPU%", "listener")
    eventually(lambda: len(term.screen().rstrip("\n").splitlines()) <= 12)
    term.keys("u")
    term.shows("UPSTREAM", "second")
    proxy.ctl("upstream", "second", "disable")
    term.shows("disabled")
    term.keys("q")
    term.shows("exit status 0")


def test_top_stays_when_the_daemon_goes(make_proxy, upstream, terminal):
    proxy = make_proxy(upstream.block("first"))
    term = terminal(proxy, "-i", "0.2", "top")
    term.shows("first", "ok: 1 upstream up")
    proxy.stop()
    term.shows("not running")


def test_top_needs_a_terminal(proxy):
    done = proxy.ctl("top")
    assert done.returncode == 1
    assert "terminal" in done.stderr


def test_watch_shows_it_again(proxy):
    process = subprocess.Popen(
        [CTL, "-s", str(proxy.socket), "-i", "0.1", "watch", "upstreams"],
        stdout=subprocess.PIPE, text=True)
    try:
        heads = 0
        while heads < 3:
            line = process.stdout.readline()
            assert line
            heads += line.startswith("UPSTREAM")
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


def test_summary_of_three_fits_a_screen(make_proxy, make_upstream):
    proxy = make_proxy(*(make_upstream().block(name)
                         for name in ("one", "two", "three")))
    lines = proxy.ctl("show").stdout.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("ok: ")
    table = proxy.ctl("show", "upstreams").stdout.splitlines()
    assert len(table) == 4
    assert [line.split()[0] for line in table] == [
        "UPSTREAM", "one", "two", "three"]


def on_a_terminal(proxy, **settings):
    """What "show" writes to a terminal."""
    leader, follower = pty.openpty()
    env = {"TERM": "xterm", **settings}
    subprocess.run([CTL, "-s", str(proxy.socket), "show"], stdout=follower,
                   env=env, timeout=30, check=True)
    os.close(follower)
    text = b""
    while True:
        try:
            text += os.read(leader, 65536)
        except OSError:
            break
    os.close(leader)
    return text


def test_colours_are_for_terminals_that_have_them(proxy):
    assert b"\033[32mok\033[m: " in on_a_terminal(proxy)
    assert b"\033" not in on_a_terminal(proxy, NO_COLOR="1")
    assert b"\033" not in on_a_terminal(proxy, TERM="dumb")
    assert "\033" not in proxy.ctl("show").stdout
