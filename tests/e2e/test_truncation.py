# SPDX-License-Identifier: ISC
"""
An answer that is too long for the client is cut to header, question and OPT;
what the header and the OPT say is what the upstream has said.
"""

import struct

import dns.flags
import dns.message
import pytest

import messages
from dnsclient import Stream, tls_wire, udp_wire
from messages import opt, query

LIMITS = {None: 512, 0: 512, 511: 512, 512: 512, 513: 513, 1232: 1232,
          4096: 4096, 16384: 16384}
AA, TC, RA, Z, AD, CD = 0x0400, 0x0200, 0x0080, 0x0040, 0x0020, 0x0010


def name(*labels):
    return b"".join(bytes([len(label)]) + label.encode()
                    for label in (*labels, "test")) + b"\0"


def flags_of(wire):
    return struct.unpack("!H", wire[2:4])[0]


@pytest.mark.parametrize("excess", [0, 1])
@pytest.mark.parametrize("payload", LIMITS)
def test_limit_is_exact_to_the_octet(proxy, upstream, pki, payload, excess):
    edns = None if payload is None else opt(payload, do=True)
    asked = name("size-%d" % (LIMITS[payload] + excess))
    wire = query(asked, messages.TXT, edns=edns)
    direct = tls_wire(upstream.port, pki.ca, wire)
    assert len(direct) == LIMITS[payload] + excess
    for address in proxy.address, proxy.address6:
        answer = udp_wire(address, wire)
        if excess == 0:
            assert answer == direct
        else:
            end = 12 + len(asked) + 4
            tail = b"" if edns is None else direct[-11:]
            assert answer == (
                direct[:2] + struct.pack("!H", flags_of(direct) | TC)
                + struct.pack("!4H", 1, 0, 0, len(tail) > 0)
                + direct[12:end] + tail)
        with Stream(address) as stream:
            assert stream.ask(wire) == direct


@pytest.mark.parametrize("flags", [0, AA, Z, AD, CD, AA | Z | AD | CD])
@pytest.mark.parametrize("rcode", [0, 3, 15, 16, 23, 4095])
def test_flags_and_rcode_of_a_cut_answer_are_the_answers(
        proxy, upstream, pki, flags, rcode):
    asked = name("size-3000", "flags-%d" % flags, "rcode-%d" % rcode)
    wire = query(asked, messages.TXT, edns=opt(1232))
    direct = tls_wire(upstream.port, pki.ca, wire)
    assert flags_of(direct) & flags == flags
    assert dns.message.from_wire(direct).rcode() == rcode
    answer = udp_wire(proxy.address, wire)
    assert len(answer) <= 1232
    assert flags_of(answer) == flags_of(direct) | TC
    assert answer[-11:] == direct[-11:]
    assert dns.message.from_wire(answer).rcode() == rcode


def test_client_without_opt_gets_none(proxy):
    wire = query(name("size-3000"), messages.TXT)
    answer = dns.message.from_wire(udp_wire(proxy.address, wire))
    assert answer.flags & dns.flags.TC
    assert answer.edns == -1


def test_longest_name_leaves_room_for_the_opt(proxy):
    labels = "x" * 63, "x" * 63, "x" * 63, "y" * 30
    wire = query(name("size-3000", *labels), messages.TXT, edns=opt(512))
    answer = udp_wire(proxy.address, wire)
    parsed = dns.message.from_wire(answer)
    assert len(answer) <= 512
    assert parsed.flags & dns.flags.TC
    assert parsed.question[0].name.to_wire() == name("size-3000", *labels)
    assert parsed.edns == 0
