# SPDX-License-Identifier: ISC
"""What a service manager is told of the upstreams, at a socket of ours."""

import os
import signal
import time

import pytest

from dnsclient import eventually, make_query, udp, udp_socket
from programs import free_port, upstream_block


@pytest.mark.parametrize("workers", [1, 2])
def test_status_follows_the_upstreams(manager, make_proxy, make_upstream, pki,
                                      workers):
    one, two = make_upstream(port=free_port()), make_upstream()
    nobody = upstream_block("nobody", free_port(), pki.ca)
    proxy = make_proxy(one.block("one"), two.block("two"), nobody,
                       workers=workers, timeout="9s")
    manager.shows("2 of 3 upstreams up; "
                  "nobody down: connect: Connection refused")
    assert manager.words("READY") == ["1"]

    def is_down():      # a query has it tried, by one of the workers
        udp(proxy.address, make_query("www.test"))
        return "one down: " in manager.status()

    one.go_down()
    eventually(is_down, seconds=20)
    one.come_up()
    eventually(lambda: not is_down(), seconds=20)
    assert proxy.ctl("upstream", "nobody", "disable").returncode == 0
    manager.shows("2 of 3 upstreams up, 1 disabled")
    # A reload has other upstreams in other places.
    proxy.configure(two.block("two"), one.block("one"), workers=workers)
    proxy.reload()
    manager.shows("2 of 2 upstreams up")
    with open(proxy.file, "a") as file:
        file.write("nonsense\n")
    assert proxy.ctl("reload").returncode == 1
    manager.shows("2 of 2 upstreams up; the last reload has failed")
    proxy.configure(two.block("two"), workers=workers)
    proxy.reload()
    manager.shows("1 of 1 upstream up")


def test_status_of_a_certificate_in_words(manager, make_proxy, make_upstream,
                                          pki):
    bad = make_upstream(leaf=pki.wrong_name)
    make_proxy(bad.block("bad"))
    manager.shows("0 of 1 upstream up; bad down: "
                  "certificate is for another name")


def test_new_pool_says_what_the_old_one_did(manager, make_proxy, upstream):
    proxy = make_proxy(upstream)
    manager.shows("1 of 1 upstream up")
    before = len(manager.words("STATUS"))
    proxy.kill_child("pool")
    eventually(lambda: len(manager.words("STATUS")) > before, seconds=20)
    manager.shows("1 of 1 upstream up")


def test_no_ready_after_stopping(manager, make_proxy, make_upstream):
    """A reload comes into force while the last query is answered."""
    proxy = make_proxy(make_upstream("delay=1500"), timeout="9s")
    manager.shows("1 of 1 upstream up")
    pool = proxy.child("pool")
    with udp_socket(proxy.address) as sock:
        os.kill(pool, signal.SIGSTOP)
        sock.send(make_query("www.test").to_wire())
        proxy.process.send_signal(signal.SIGHUP)
        eventually(lambda: manager.words("RELOADING"))
        time.sleep(0.2)     # for the query to be taken
        proxy.process.send_signal(signal.SIGTERM)
        eventually(lambda: manager.words("STOPPING"))
        os.kill(pool, signal.SIGCONT)
        assert sock.recv(65535)
    assert proxy.process.wait(20) == 0
    proxy.process = None
    assert "configuration reloaded" in proxy.log()
    heard = sum(manager.listen(), [])
    assert heard.count("READY=1") == 1
    assert heard.index("READY=1") < heard.index("STOPPING=1")
    assert manager.status() == "answering what is in flight"
