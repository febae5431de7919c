# SPDX-License-Identifier: ISC
"""A new configuration without a lost query; a broken one without effect."""

import contextlib
import os
import signal
import socket
import time

import dns.message
import dns.rcode
import pytest

from dnsclient import Stream, eventually, is_right, make_query, tcp, udp
from programs import free_port, is_flawless, open_files


def serves(address, **kw):
    query = make_query("www.test")
    return is_right(query, udp(address, query, **kw))


def refuses(address):
    try:
        serves(address)
    except ConnectionRefusedError:
        return True
    return False


def by_control(proxy):
    proxy.reload()


def by_signal(proxy):
    os.kill(proxy.process.pid, signal.SIGHUP)


@pytest.mark.parametrize("reload", [by_control, by_signal])
def test_upstream_is_exchanged(make_proxy, make_upstream, reload):
    old, new = make_upstream(), make_upstream()
    proxy = make_proxy(old.block("old"))
    assert serves(proxy.address)
    proxy.configure(new.block("new"))
    reload(proxy)

    def asked():
        assert serves(proxy.address)
        return new.stats()["queries"]

    eventually(asked, what="query at the new upstream")
    count = old.stats()["queries"]
    for _ in range(5):
        assert serves(proxy.address)
    assert old.stats()["queries"] == count
    eventually(lambda: old.stats()["open"] == 0, what="end of the old pool")


@pytest.mark.parametrize("reload", [by_control, by_signal])
def test_listen_lines_come_and_go(make_proxy, upstream, reload):
    ports = [free_port() for _ in range(3)]
    lines = ["127.0.0.1 port %d" % port for port in ports]
    first, second, third = [("127.0.0.1", port) for port in ports]
    proxy = make_proxy(upstream, listen=lines[:2])
    assert serves(first) and serves(second)
    proxy.configure(upstream, listen=lines[1:])
    reload(proxy)
    eventually(lambda: not refuses(third), what="new listen line")
    eventually(lambda: refuses(first), what="end of the old listen line")
    with pytest.raises(ConnectionRefusedError):
        tcp(first, make_query("www.test"))
    assert serves(second)


def test_who_has_connected_is_answered_though_the_listen_line_goes(
        make_proxy, upstream):
    lines = ["127.0.0.1 port %d" % free_port() for _ in range(2)]
    proxy = make_proxy(upstream, listen=lines)
    address = ("127.0.0.1", int(lines[0].split()[-1]))
    query = make_query("www.test")
    listener = proxy.child("listener")
    with contextlib.ExitStack() as stack:
        os.kill(listener, signal.SIGSTOP)
        try:
            streams = [stack.enter_context(Stream(address))
                       for _ in range(300)]
            for stream in streams:
                stream.send(query.to_wire())
            proxy.configure(upstream, listen=lines[1:])
            by_signal(proxy)
            eventually(lambda: "reload requested" in proxy.log())
            time.sleep(0.2)     # the parent has sent all of it
        finally:
            os.kill(listener, signal.SIGCONT)
        for stream in streams:
            assert dns.message.from_wire(
                stream.receive()).rcode() == dns.rcode.NOERROR
    eventually(lambda: refuses(address), what="end of the listen line")


def test_allow_is_exchanged(make_proxy, upstream):
    proxy = make_proxy(upstream)
    assert serves(proxy.address)
    proxy.configure(upstream, settings="allow { 127.0.0.2 }")
    proxy.reload()
    answer = udp(proxy.address, make_query("www.test"))
    assert answer.rcode() == dns.rcode.REFUSED
    assert serves(proxy.address, source="127.0.0.2")


def test_policy_is_exchanged(make_proxy, make_upstream):
    first, second = make_upstream(), make_upstream()
    proxy = make_proxy(first, second, settings="policy failover")
    for _ in range(10):
        assert serves(proxy.address)
    assert second.stats()["queries"] == 0
    proxy.configure(first, second, settings="policy round-robin")
    proxy.reload()
    for _ in range(10):
        assert serves(proxy.address)
    assert second.stats()["queries"] >= 3


def test_broken_file_is_refused_and_changes_nothing(make_proxy, upstream):
    proxy = make_proxy(upstream)
    good = proxy.file.read_text()
    proxy.file.write_text("# one\nlisten on nonsense\n")
    done = proxy.ctl("reload")
    assert done.returncode == 1
    assert "%s:2" % proxy.file in done.stderr
    assert serves(proxy.address)
    os.kill(proxy.process.pid, signal.SIGHUP)
    eventually(lambda: "%s:2" % proxy.file in proxy.log(), what="log line")
    assert serves(proxy.address)
    proxy.file.write_text(good)
    proxy.reload()
    assert serves(proxy.address)


def test_each_error_is_a_line_of_the_log(make_proxy, upstream):
    proxy = make_proxy(upstream)
    before = len(proxy.log().splitlines())
    with open(proxy.file, "a") as file:
        file.write("nonsense\nretries many\n")
    last = len(proxy.file.read_text().splitlines())
    for command, begin in (("reload", "reload failed, old configuration kept: "),
                           ("restart", "restart refused: ")):
        done = proxy.ctl(command)
        assert done.returncode == 1
        assert "nonsense" in done.stderr and "retries" in done.stderr
        lines = proxy.log().splitlines()[before:]
        found = [line.partition(begin)[2] for line in lines if begin in line]
        assert found[0].startswith("%s:%d: " % (proxy.file, last - 1))
        if command == "reload":
            assert found[1].startswith("%s:%d: " % (proxy.file, last))
        else:
            assert len(found) == 1
        assert all(line.startswith("dotproxy: ") for line in lines), lines


def test_listen_line_that_cannot_be_bound_changes_nothing(
        make_proxy, upstream):
    proxy = make_proxy(upstream)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        proxy.configure(upstream, listen=["127.0.0.1 port %d" % port])
        done = proxy.ctl("reload")
    assert done.returncode == 1
    assert done.stderr.strip().endswith("Address already in use")
    assert serves(proxy.address)


def test_reload_from_an_address_to_all_says_what_it_takes(
        make_proxy, upstream):
    proxy = make_proxy(upstream)
    proxy.configure(upstream, listen=["0.0.0.0 port %d" % proxy.address[1]])
    done = proxy.ctl("reload")
    assert done.returncode == 1
    assert "from one address to all, or back, stop it" in done.stderr
    assert serves(proxy.address)


def test_missing_file_changes_nothing(make_proxy, upstream):
    proxy = make_proxy(upstream)
    proxy.file.unlink()
    done = proxy.ctl("reload")
    assert done.returncode == 1
    assert str(proxy.file) in done.stderr
    assert serves(proxy.address)


@pytest.mark.parametrize("transport", [(), ("-t", "-c", "4")])
def test_reload_under_load_loses_nothing(
        make_proxy, make_upstream, background_load, transport):
    upstreams = [make_upstream("jitter=10") for _ in range(3)]
    lines = ["127.0.0.1 port %d" % free_port() for _ in range(2)]
    proxy = make_proxy(upstreams[0])
    lines.insert(0, "127.0.0.1 port %d" % proxy.port)
    variants = [
        {"settings": "policy round-robin"},
        {"listen": lines},
        {"settings": "allow { 127.0.0.0/8 }"},
        {"listen": lines[:2], "settings": "policy failover"},
        {},
    ]
    running = background_load(
        proxy.address, *transport, "-r", "500", "-T", "4")
    for i, variant in enumerate(variants):
        time.sleep(0.5)
        some = upstreams[i % 3:] + upstreams[:i % 2]
        proxy.configure(*some, **variant)
        (by_signal if i % 2 else by_control)(proxy)
    result = running.result()
    assert is_flawless(result), result


def test_nothing_grows_over_twenty_reloads(make_proxy, upstream):
    proxy = make_proxy(upstream)

    def files():
        return [open_files(pid) for pid in proxy.pids()]

    def reload_some(count):
        for _ in range(count):
            by_signal(proxy)
            time.sleep(0.1)
            assert serves(proxy.address)

    reload_some(2)
    before = files()
    reload_some(20)
    eventually(lambda: all(b <= a + 1 for a, b in zip(before, files())),
               what="as few open files as before")


def test_killed_child_comes_back_with_the_new_configuration(
        make_proxy, make_upstream):
    old, new = make_upstream(), make_upstream()
    proxy = make_proxy(old)
    proxy.configure(new, settings="allow { 127.0.0.2 }")
    proxy.reload()
    for role in "listener", "pool":
        proxy.kill_child(role)
    query = make_query("www.test")
    answer = udp(proxy.address, query)
    assert answer.rcode() == dns.rcode.REFUSED
    assert serves(proxy.address, source="127.0.0.2")
    assert old.stats()["queries"] == 0


def test_pool_that_does_not_answer_does_not_block_reloads(proxy):
    proxy.children_may_die = True
    stuck = proxy.child("pool")
    os.kill(stuck, signal.SIGSTOP)
    done = proxy.ctl("reload")
    assert done.returncode == 1
    assert "died" in done.stderr
    assert "does not answer to a reload" in proxy.log()
    eventually(lambda: proxy.children().get("pool", stuck) != stuck,
               what="new pool")
    assert eventually(lambda: proxy.ctl("reload").returncode == 0,
                      what="reload")
    query = make_query("www.test")
    assert is_right(query, udp(proxy.address, query))
