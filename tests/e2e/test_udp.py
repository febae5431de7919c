# SPDX-License-Identifier: ISC
"""Clients over UDP."""

import socket
import struct

import dns.flags
import dns.message
import dns.rcode
import pytest

from dnsclient import (
    Stream, ede_codes, is_right, make_query, tcp, udp, udp_socket, udp_wire)
from programs import free_port


def test_answers_over_ipv4_and_ipv6(proxy):
    for address in proxy.address, proxy.address6:
        query = make_query("www.example.test")
        assert is_right(query, udp(address, query))


@pytest.mark.parametrize("rdtype", ["A", "AAAA", "TXT"])
def test_records_of_any_type_come_through(proxy, rdtype):
    query = make_query("www.example.test", rdtype)
    answer = udp(proxy.address, query)
    assert answer.question == query.question
    assert len(answer.answer) == 1


def test_serves_every_listen_line(make_proxy, upstream):
    ports = [free_port() for _ in range(4)]
    proxy = make_proxy(upstream, listen=["127.0.0.1 port %d" % port
                                         for port in ports])
    for port in ports:
        query = make_query("p%d.test" % port)
        assert is_right(query, udp(("127.0.0.1", port), query))
        assert is_right(query, tcp(("127.0.0.1", port), query))
    assert proxy.port not in ports


def test_listen_on_tcp_only_leaves_udp_alone(make_proxy, upstream):
    port = free_port()
    make_proxy(upstream, listen=["127.0.0.1 port %d tcp" % port])
    query = make_query("www.test")
    assert is_right(query, tcp(("127.0.0.1", port), query))
    with pytest.raises(ConnectionRefusedError):
        udp(("127.0.0.1", port), query)


def test_listen_on_udp_only_leaves_tcp_alone(make_proxy, upstream):
    port = free_port()
    make_proxy(upstream, listen=["127.0.0.1 port %d udp" % port])
    query = make_query("www.test")
    assert is_right(query, udp(("127.0.0.1", port), query))
    with pytest.raises(ConnectionRefusedError):
        tcp(("127.0.0.1", port), query)


def test_answer_leaves_from_the_address_that_was_asked(make_proxy, upstream):
    port = free_port()
    make_proxy(upstream, listen=["0.0.0.0 port %d" % port])
    for host in "127.0.0.1", "127.0.0.2", "127.3.2.1":
        query = make_query("www.test")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(10)
            sock.sendto(query.to_wire(), (host, port))
            wire, sender = sock.recvfrom(65535)
        assert sender == (host, port)
        assert is_right(query, dns.message.from_wire(wire))


def test_wildcard_of_ipv6_answers(make_proxy, upstream):
    port = free_port()
    make_proxy(upstream, listen=[":: port %d" % port])
    query = make_query("www.test")
    assert is_right(query, udp(("::1", port), query))


def test_what_is_no_query_is_dropped(proxy):
    query = make_query("www.test")
    response = make_query("response.test")
    response.flags |= dns.flags.QR
    with udp_socket(proxy.address) as sock:
        sock.send(b"")
        sock.send(query.to_wire()[:11])
        sock.send(response.to_wire())
        sock.send(query.to_wire())
        assert is_right(query, dns.message.from_wire(sock.recv(65535)))
        sock.settimeout(0.5)
        with pytest.raises(socket.timeout):
            sock.recv(65535)


def test_one_client_may_use_an_id_many_times_at_once(proxy):
    queries = [make_query("delay-200.n%d.test" % i) for i in range(20)]
    with udp_socket(proxy.address) as sock:
        for query in queries:
            query.id = 4711
            sock.send(query.to_wire())
        answers = [dns.message.from_wire(sock.recv(65535)) for _ in queries]
    for query in queries:
        assert sum(is_right(query, answer) for answer in answers) == 1


def test_many_clients_may_use_one_id(proxy):
    socks = [udp_socket(proxy.address) for _ in range(20)]
    queries = [make_query("delay-200.c%d.test" % i) for i in range(20)]
    for sock, query in zip(socks, queries):
        query.id = 4711
        sock.send(query.to_wire())
    for sock, query in zip(socks, queries):
        assert is_right(query, dns.message.from_wire(sock.recv(65535)))
        sock.close()


def test_two_queries_that_differ_in_the_id_get_two_answers(proxy):
    query = make_query("delay-100.www.test")
    with udp_socket(proxy.address) as sock:
        for i in range(2):
            query.id = i
            sock.send(query.to_wire())
        for _ in range(2):
            answer = dns.message.from_wire(sock.recv(65535))
            query.id = answer.id
            assert is_right(query, answer)


@pytest.mark.parametrize("transport", [udp, tcp])
def test_client_not_allowed_is_refused_and_told_why(
        make_proxy, upstream, transport):
    proxy = make_proxy(upstream, settings="allow { 127.0.0.2, ::1 }")
    query = make_query("www.test", edns=1232)
    answer = transport(proxy.address, query)
    assert answer.id == query.id
    assert answer.rcode() == dns.rcode.REFUSED
    assert answer.question == query.question
    assert ede_codes(answer) == [18]
    answer = transport(proxy.address, make_query("www.test"))
    assert answer.rcode() == dns.rcode.REFUSED
    assert answer.edns == -1
    assert is_right(query, transport(proxy.address6, query))
    assert upstream.stats()["queries"] == 1


def test_allowed_client_is_served_beside_one_that_is_not(make_proxy, upstream):
    proxy = make_proxy(upstream, settings="allow { 127.0.0.2 }")
    query = make_query("www.test")
    assert is_right(query, udp(proxy.address, query, source="127.0.0.2"))
    answer = udp(proxy.address, query, source="127.0.0.3")
    assert answer.rcode() == dns.rcode.REFUSED


def test_dso_is_not_implemented(proxy, upstream):
    query = struct.pack("!6H", 4711, 6 << 11, 0, 0, 0, 0)
    with Stream(proxy.address) as stream:
        for answer in stream.ask(query), udp_wire(proxy.address, query):
            answer_id, flags = struct.unpack("!HH", answer[:4])
            assert answer_id == 4711
            assert flags >> 11 == 16 + 6
            assert flags & 15 == dns.rcode.NOTIMP
    assert upstream.stats()["queries"] == 0


@pytest.mark.parametrize("edns", [None, 100, 512, 1232, 4096])
@pytest.mark.parametrize("excess", [-1, 0, 1, 1000])
def test_answer_longer_than_the_client_takes_is_truncated(
        proxy, edns, excess):
    limit = max(512, edns or 0)
    size = limit + excess
    query = make_query("size-%d.x.test" % size, "TXT", edns)
    wire = udp_wire(proxy.address, query.to_wire())
    answer = dns.message.from_wire(wire)
    assert answer.id == query.id
    assert answer.question == query.question
    assert (answer.edns >= 0) == (edns is not None)
    if excess <= 0:
        assert len(wire) == size
        assert not answer.flags & dns.flags.TC
    else:
        assert len(wire) <= limit
        assert answer.flags & dns.flags.TC
        with Stream(proxy.address) as stream:
            whole = stream.ask(query.to_wire())
        assert len(whole) == size
        assert not dns.message.from_wire(whole).flags & dns.flags.TC


@pytest.mark.parametrize("size", [60000, 65535])
def test_longest_answers_reach_a_client_that_takes_them(proxy, size):
    """65,507 octets are what UDP can carry."""
    query = make_query("size-%d.x.test" % size, "TXT", 65535)
    wire = udp_wire(proxy.address, query.to_wire())
    truncated = dns.message.from_wire(wire).flags & dns.flags.TC
    assert len(wire) == size or (truncated and size > 65507)


def test_tc_of_the_upstream_stays(proxy):
    answer = udp(proxy.address, make_query("trunc.www.test"))
    assert answer.flags & dns.flags.TC
