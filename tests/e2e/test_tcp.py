# SPDX-License-Identifier: ISC
"""Clients over TCP (RFC 7766)."""

import contextlib
import socket
import struct
import threading
import time

import dns.edns
import dns.message
import dns.rcode
import pytest

from dnsclient import (
    Stream, ede_codes, eventually, frame, is_right, make_query, tcp, udp)
from programs import SANITIZED, is_flawless, load


def receive(stream):
    return dns.message.from_wire(stream.receive())


def test_answers_over_ipv4_and_ipv6(proxy):
    for address in proxy.address, proxy.address6:
        query = make_query("www.test")
        assert is_right(query, tcp(address, query))


def test_a_connection_serves_many_queries_one_after_the_other(proxy):
    with Stream(proxy.address) as stream:
        for i in range(200):
            query = make_query("n%d.test" % i)
            stream.send(query.to_wire())
            assert is_right(query, receive(stream))


def test_pipelined_queries_are_all_answered(proxy):
    queries = {i: make_query("n%d.test" % i, id=i) for i in range(200)}
    with Stream(proxy.address) as stream:
        stream.send(*(query.to_wire() for query in queries.values()))
        for _ in range(200):
            answer = receive(stream)
            assert is_right(queries.pop(answer.id), answer)


def test_thousands_of_queries_in_one_go(proxy):
    """All are answered, and others do not wait for that."""
    count = 5000
    queries = {i: make_query("n%d.test" % i, id=i) for i in range(count)}
    data = b"".join(frame(q.to_wire()) for q in queries.values())
    with Stream(proxy.address) as stream:
        sender = threading.Thread(target=stream.sock.sendall, args=(data,))
        sender.start()
        query = make_query("meanwhile.test")
        assert is_right(query, udp(proxy.address, query))
        assert is_right(query, tcp(proxy.address, query))
        for _ in range(count):
            answer = receive(stream)
            assert is_right(queries.pop(answer.id), answer)
        sender.join()
    assert not queries


def resident_kib(pid):
    with open("/proc/%d/status" % pid) as status:
        return int(next(line.split()[1] for line in status
                        if line.startswith("VmRSS")))


def test_clients_that_do_not_read_cost_little(make_proxy, upstream):
    """Nor do those that do not finish what they write; others are served."""
    proxy = make_proxy(upstream)
    listener = proxy.child("listener")
    query = make_query("www.test")
    long = [make_query("size-60000.n%d.test" % i, "TXT").to_wire()
            for i in range(200)]
    assert is_right(query, tcp(proxy.address, query))
    before = resident_kib(listener)
    with contextlib.ExitStack() as stack:
        for i in range(10):
            stream = stack.enter_context(Stream(proxy.address))
            stream.send(*long)
            stream = stack.enter_context(Stream(proxy.address))
            stream.sock.sendall(struct.pack("!H", 60000) + b"x" * i)
        for i in range(50):
            query = make_query("n%d.test" % i)
            assert is_right(query, tcp(proxy.address, query))
            assert is_right(query, udp(proxy.address, query))
        # Of 10 clients, each with at most TCP_OUT_MAX, of tcp.h.
        if not SANITIZED:   # that keeps what was freed
            assert resident_kib(listener) - before < 10 * 4 * 1024 + 16 * 1024


def test_a_slow_answer_does_not_hold_up_the_next(proxy):
    slow = make_query("delay-500.test")
    fast = make_query("fast.test")
    with Stream(proxy.address) as stream:
        stream.send(slow.to_wire(), fast.to_wire())
        assert is_right(fast, receive(stream))
        assert is_right(slow, receive(stream))


def test_one_id_many_times_on_one_connection(proxy):
    queries = [make_query("delay-100.n%d.test" % i, id=7) for i in range(20)]
    with Stream(proxy.address) as stream:
        stream.send(*(query.to_wire() for query in queries))
        answers = [receive(stream) for _ in queries]
    for query in queries:
        assert sum(is_right(query, answer) for answer in answers) == 1


def test_query_may_come_byte_by_byte(proxy):
    first, second = make_query("first.test"), make_query("second.test")
    data = frame(first.to_wire()) + frame(second.to_wire())
    with Stream(proxy.address) as stream:
        for i in range(len(data)):
            stream.sock.send(data[i:i + 1])
            time.sleep(0.002)
        answers = [receive(stream), receive(stream)]
    assert any(is_right(first, answer) for answer in answers)
    assert any(is_right(second, answer) for answer in answers)


def test_messages_of_64_kib_pass_both_ways(proxy):
    head = make_query("echo.test").to_wire()
    wire = head + b"x" * (65535 - len(head))
    with Stream(proxy.address) as stream:
        assert stream.ask(wire)[3:] == wire[3:]
        query = make_query("size-65535.test", "TXT")
        assert len(stream.ask(query.to_wire())) == 65535


def test_many_long_answers_to_a_client_that_reads_late(proxy):
    with Stream(proxy.address) as stream:
        for i in range(40):
            stream.send(make_query("size-65535.n%d.test" % i, "TXT").to_wire())
        time.sleep(0.5)
        query = make_query("meanwhile.test")
        assert is_right(query, udp(proxy.address, query))
        for _ in range(40):
            assert len(stream.receive()) == 65535


def test_half_closed_connection_gets_its_answers_then_the_end(proxy):
    queries = {i: make_query("delay-200.n%d.test" % i, id=i) for i in range(5)}
    with Stream(proxy.address) as stream:
        stream.send(*(query.to_wire() for query in queries.values()))
        stream.sock.shutdown(socket.SHUT_WR)
        for _ in range(5):
            answer = receive(stream)
            assert is_right(queries.pop(answer.id), answer)
        assert stream.at_end()


def test_idle_connection_is_closed(make_proxy, upstream):
    proxy = make_proxy(upstream, settings="client { tcp read timeout 300ms }")
    with Stream(proxy.address) as idle, Stream(proxy.address) as used:
        query = make_query("www.test")
        used.send(query.to_wire())
        assert is_right(query, receive(used))
        assert idle.at_end()
        assert used.at_end()


def test_client_that_never_completes_a_query_is_closed(make_proxy, upstream):
    """Octets alone do not keep a connection (RFC 7766 section 6.2.3)."""
    proxy = make_proxy(upstream, settings="client { tcp read timeout 300ms }")
    deadline = time.monotonic() + 20
    with Stream(proxy.address) as stream:
        stream.sock.sendall(struct.pack("!H", 1000))
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            while time.monotonic() < deadline:
                stream.sock.send(b"x")
                time.sleep(0.05)


def test_client_that_waits_for_its_answer_is_not_idle(make_proxy, upstream):
    proxy = make_proxy(upstream, settings="client { tcp read timeout 300ms }")
    query = make_query("delay-1200.test")
    assert is_right(query, tcp(proxy.address, query))


def is_open(stream):
    stream.sock.settimeout(0.2)
    try:
        return not stream.at_end()
    except socket.timeout:
        return True


def test_no_more_connections_than_the_limit(make_proxy, upstream):
    proxy = make_proxy(upstream, settings="client { max tcp connections 4 }")
    query = make_query("www.test")
    streams = [Stream(proxy.address) for _ in range(12)]
    time.sleep(0.2)
    assert 1 <= sum(map(is_open, streams)) <= 4
    assert is_right(query, udp(proxy.address, query))
    for stream in streams:
        stream.sock.close()
    assert is_right(query, tcp(proxy.address, query))


def test_clients_above_the_limit_cost_nobody_an_answer(make_proxy, upstream):
    proxy = make_proxy(upstream, settings="client {\nmax tcp connections 4\n"
                       "max tcp connections per client 4\n}")
    queries = [make_query("delay-700.n%d.test" % i) for i in range(4)]
    streams = [Stream(proxy.address) for _ in queries]
    for stream, query in zip(streams, queries):
        stream.send(query.to_wire())
    eventually(lambda: upstream.stats()["queries"] == 4, what="all queries")
    more = [Stream(proxy.address) for _ in range(8)]
    for stream, query in zip(streams, queries):
        assert is_right(query, receive(stream))
    for stream in more + streams:
        stream.sock.close()


def test_one_client_can_not_keep_others_out(make_proxy, upstream):
    """It has its share of the connections, and loses its own for more."""
    proxy = make_proxy(upstream, settings="client {\nmax tcp connections 12\n"
                       "max tcp connections per client 4\n}")
    query = make_query("www.test")
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Stream(proxy.address, source="127.0.0.2"))
        assert is_right(query, first.exchange(query))
        streams = []
        for i in range(40):
            streams.append(stack.enter_context(Stream(proxy.address)))
            assert is_right(query, streams[-1].exchange(query))
        for stream in streams[-4:]:
            assert is_right(query, stream.exchange(query))
        assert all(stream.at_end() for stream in streams[:-4])
        assert is_right(query, first.exchange(query))
        stats = proxy.ctl_json("show", "stats")["listener"]
        assert stats["tcp_open"] == 5 and stats["tcp_refused"] == 0


def test_lowered_limit_still_lets_a_further_one_in(make_proxy, upstream):
    """It takes the place of idle ones, however many are too many."""
    limit = "client { max tcp connections per client %d }"
    proxy = make_proxy(upstream, settings=limit % 8)
    query = make_query("www.test")
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(Stream(proxy.address))
                   for _ in range(8)]
        for stream in streams:
            assert is_right(query, stream.exchange(query))
        proxy.configure(upstream, settings=limit % 2)
        proxy.reload()
        last = stack.enter_context(Stream(proxy.address))
        assert is_right(query, last.exchange(query))
        assert all(stream.at_end() for stream in streams[:-1])
        assert is_right(query, streams[-1].exchange(query))


def test_idle_connections_go_sooner_when_there_are_many(make_proxy, upstream):
    proxy = make_proxy(upstream, settings="client {\nmax tcp connections 20\n"
                       "max tcp connections per client 20\n"
                       "tcp read timeout 1h\n}")
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(Stream(proxy.address))
                   for _ in range(20)]
        assert streams[0].at_end()      # a quarter of a second, not an hour
        query = make_query("www.test")
        assert is_right(query, streams[-1].exchange(query))
        assert is_right(query, tcp(proxy.address, query))


def test_client_not_allowed_gets_its_refusal_whatever_it_sends(
        make_proxy, upstream):
    """And the end of the stream after it: a reset could overtake it."""
    proxy = make_proxy(upstream, settings="allow 192.0.2.0/24")
    query = make_query("www.test", edns=1232)
    with Stream(proxy.address) as stream:
        stream.send(*[query.to_wire()] * 500)
        for _ in range(20):
            stream.sock.sendall(b"x" * 4096)
            time.sleep(0.002)
        answer = receive(stream)
        assert answer.rcode() == dns.rcode.REFUSED
        assert ede_codes(answer) == [18]
        assert stream.sock.recv(1) == b""
    stats = proxy.ctl_json("show", "stats")["listener"]
    assert stats["tcp_error"] == 0 and stats["refused_acl"] == 1


def keepalive_values(answer):
    """What an answer has of RFC 7828, in units of 100 ms."""
    return [int.from_bytes(option.data, "big") for option in answer.options
            if option.otype == 11]


def ask_keepalive(name="www.test", **kw):
    return make_query(name, edns=1232, options=[
        dns.edns.GenericOption(11, b"")], **kw)


@pytest.mark.parametrize("knobs", [(), ("keepalive=77",)])
def test_client_that_asks_is_told_how_long_it_may_be_idle(
        make_proxy, make_upstream, knobs):
    proxy = make_proxy(make_upstream(*knobs), settings="client {\n"
                       "tcp read timeout 7s\nedns keepalive yes\n"
                       "max tcp connections 4\n"
                       "max tcp connections per client 4\n}")
    query = ask_keepalive()
    theirs = [77] if knobs else []
    with contextlib.ExitStack() as stack:
        streams = []
        for value in 70, 70, 35:    # less as places run short
            streams.append(stack.enter_context(Stream(proxy.address)))
            answer = streams[-1].exchange(query)
            assert is_right(query, answer)
            assert keepalive_values(answer) == [value]
        streams.append(stack.enter_context(Stream(proxy.address)))
        assert keepalive_values(streams[-1].exchange(query)) == [0]
        # Not asked for, or not over TCP: it passes as it is.
        plain = make_query("www.test", edns=1232)
        assert keepalive_values(streams[-1].exchange(plain)) == theirs
        assert not streams[-1].exchange(make_query("www.test")).options
    assert keepalive_values(udp(proxy.address, query)) == theirs


def test_answers_are_not_edited_unless_configured(make_proxy, make_upstream):
    proxy = make_proxy(make_upstream("keepalive=77"))
    assert keepalive_values(tcp(proxy.address, ask_keepalive())) == [77]


@pytest.mark.parametrize("reset", [False, True])
def test_client_that_leaves_harms_nobody(proxy, reset):
    for i in range(20):
        stream = Stream(proxy.address)
        stream.send(*(make_query("delay-50.n%d-%d.test" % (i, k)).to_wire()
                      for k in range(20)))
        if reset:
            linger = struct.pack("ii", 1, 0)
            stream.sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, linger)
        stream.sock.close()
    query = make_query("www.test")
    assert is_right(query, tcp(proxy.address, query))
    assert is_right(query, udp(proxy.address, query))


@pytest.mark.parametrize("length", [0, 1, 11])
def test_frame_too_short_for_a_query_harms_nobody(proxy, length):
    with Stream(proxy.address) as stream:
        stream.send(b"x" * length)
        query = make_query("www.test")
        assert is_right(query, tcp(proxy.address, query))


def test_many_connections_at_once(proxy):
    result = load(proxy.address, "-t", "-c", "100", "-q", "400", "-n", "8000")
    assert is_flawless(result), result
