# SPDX-License-Identifier: ISC
"""Real name servers behind the proxy, real clients before it."""

import shutil
import socket

import dns.message
import dns.query
import dns.rcode
import dns.zone
import pytest

from dnsclient import (
    Stream, make_query, tcp, tls_wire, udp, udp_wire)
from programs import run, upstream_block
from servers import HOSTS


def text(answer):
    return [rr.to_text() for rrset in answer.answer for rr in rrset]


def test_unbound_answers_through_the_proxy(make_proxy, unbound, pki):
    proxy = make_proxy(upstream_block("unbound", unbound, pki.ca))
    for transport in udp, tcp:
        for rdtype, value in (("A", "192.0.2.1"), ("AAAA", "2001:db8::1"),
                              ("TXT", '"hello"')):
            query = make_query("www.test", rdtype, edns=1232)
            assert text(transport(proxy.address, query)) == [value]
        answer = transport(proxy.address, make_query("no.test"))
        assert answer.rcode() == dns.rcode.NXDOMAIN


def test_unbound_is_seen_unchanged(make_proxy, unbound, pki):
    proxy = make_proxy(upstream_block("unbound", unbound, pki.ca))
    for name, kw in (("www.test", {}), ("WwW.tEsT", {"edns": 4096}),
                     ("no.test", {"want_dnssec": True}),
                     ("version.bind", {"rdclass": "CH", "rdtype": "TXT"})):
        wire = make_query(name, **kw).to_wire()
        assert udp_wire(proxy.address, wire) == tls_wire(unbound, pki.ca, wire)


def test_long_answer_of_nsd_is_fetched_over_tcp(make_proxy, nsd, pki):
    proxy = make_proxy(upstream_block("nsd", nsd, pki.ca))
    query = make_query("big.zone.test", "TXT", edns=1232)
    with Stream(proxy.address) as stream:
        whole = stream.ask(query.to_wire())
    assert whole == tls_wire(nsd, pki.ca, query.to_wire())
    assert len(whole) > 4096
    answer, used_tcp = dns.query.udp_with_fallback(
        query, proxy.address[0], port=proxy.port, timeout=10)
    assert used_tcp
    assert len(text(answer)) == 30


def test_queries_of_one_moment_are_all_answered_by_nsd(make_proxy, nsd, pki):
    """NSD 4.6 takes a message out of a TLS record and waits for the socket."""
    proxy = make_proxy(upstream_block("nsd", nsd, pki.ca))
    queries = {i: make_query("ns.zone.test", id=i) for i in range(100)}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.connect(proxy.address)
        for query in queries.values():
            sock.send(query.to_wire())
        for _ in range(len(queries)):
            answer = dns.message.from_wire(sock.recv(65535))
            assert queries.pop(answer.id).is_response(answer)
            assert text(answer) == ["127.0.0.1"]


def test_zone_transfer_comes_complete(make_proxy, nsd, pki):
    proxy = make_proxy(upstream_block("nsd", nsd, pki.ca))
    zone = dns.zone.from_xfr(dns.query.xfr(
        proxy.address[0], "zone.test", port=proxy.port, lifetime=30))
    assert len(zone.nodes) == HOSTS + 4


def test_zone_transfer_does_not_disturb_its_connection(make_proxy, nsd, pki):
    proxy = make_proxy(upstream_block("nsd", nsd, pki.ca))
    transfer = make_query("zone.test", "AXFR", id=1).to_wire()
    query = make_query("www.zone.test", id=2).to_wire()
    with Stream(proxy.address) as stream:
        stream.send(transfer, query)
        answer = dns.message.from_wire(stream.receive())
        while answer.id != 2:
            assert answer.id == 1
            answer = dns.message.from_wire(stream.receive())
    assert text(answer) == ["192.0.2.1"]


def test_transfer_that_is_denied_is_denied(make_proxy, nsd, pki):
    proxy = make_proxy(upstream_block("nsd", nsd, pki.ca))
    answer = tcp(proxy.address, make_query("other.test", "AXFR"))
    assert answer.rcode() != dns.rcode.NOERROR


@pytest.mark.parametrize("client", ["dig", "kdig"])
@pytest.mark.parametrize("options", [(), ("+tcp",), ("+bufsize=512",)])
def test_common_clients(proxy, client, options):
    if not shutil.which(client):
        pytest.skip(client + " is not installed")
    done = run(client, "@" + proxy.address[0], "-p", str(proxy.port),
               "size-2000.www.test", "TXT", *options)
    assert done.returncode == 0, done.stdout
    assert "NOERROR" in done.stdout
    assert "x" * 200 in done.stdout
