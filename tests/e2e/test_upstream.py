# SPDX-License-Identifier: ISC
"""What the scripted upstream can be told that no other test would notice."""

import ssl

import dns.message

from dnsclient import Stream, is_right, make_query, tls_wire, udp_wire

KEEPALIVE = 11


def keepalive_of(upstream, query):
    wire = tls_wire(upstream.port, upstream.pki.ca, query.to_wire())
    answer = dns.message.from_wire(wire)
    assert is_right(query, answer)
    return [option.data for option in answer.options
            if option.otype == KEEPALIVE]


def test_keepalive_is_in_answers_that_have_an_opt(make_upstream):
    upstream = make_upstream("keepalive=300")
    assert keepalive_of(
        upstream, make_query("www.test", edns=1232)) == [b"\x01\x2c"]
    assert keepalive_of(upstream, make_query("www.test")) == []


def test_plain_udp_is_answered_if_told_to(make_upstream):
    upstream = make_upstream("udp")
    query = make_query("www.test")
    wire = udp_wire((upstream.address, upstream.port), query.to_wire())
    assert is_right(query, dns.message.from_wire(wire))
    assert upstream.stats()["udp_queries"] == 1


def has_ticket(upstream):
    context = ssl.create_default_context(cafile=upstream.pki.ca)
    with Stream((upstream.address, upstream.port), context,
                "dot.test") as stream:
        stream.ask(make_query("www.test").to_wire())
        return stream.sock.session.has_ticket


def test_tickets_can_be_kept_back(make_upstream):
    assert has_ticket(make_upstream())
    assert not has_ticket(make_upstream("no-tickets"))
