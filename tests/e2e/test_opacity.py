# SPDX-License-Identifier: ISC
"""
A message passes both ways as it is, but for its ID: what the proxy answers is
compared with what the upstream answers to the same bytes over TLS.  The label
"echo" makes the upstream return the query, so what it received is seen too.
"""

import struct

import dns.edns
import dns.tsigkeyring
import dns.update

from dnsclient import Stream, make_query, tls_wire, udp_wire

KEY = dns.tsigkeyring.from_text({"key.test.": "c2VjcmV0c2VjcmV0c2VjcmV0"})


def header(query_id=0x1234, flags=0x0100, counts=(1, 0, 0, 0)):
    return struct.pack("!6H", query_id, flags, *counts)


def question(name=b"\4echo\4test\0", rdtype=1, rdclass=1):
    return name + struct.pack("!2H", rdtype, rdclass)


def opt(payload=4096, ttl=0, options=b""):
    head = struct.pack("!BHHIH", 0, 41, payload, ttl, len(options))
    return head + options


def with_option(code, data):
    option = dns.edns.GenericOption(code, data)
    return make_query("echo.test", edns=4096, options=[option]).to_wire()


def update():
    message = dns.update.Update("echo.test")
    message.add("host", 300, "A", "192.0.2.1")
    return message.to_wire()


def signed():
    message = make_query("echo.test")
    message.use_tsig(KEY)
    return message.to_wire()


WITH_OPT = header(counts=(1, 0, 0, 1))

MESSAGES = {
    "plain": make_query("www.test").to_wire(),
    "mixed case": make_query("wWw.ExAmPlE.TeSt").to_wire(),
    "mixed case seen": make_query("EcHo.tEsT").to_wire(),
    "no such name": make_query("rcode-3.test").to_wire(),
    "unknown rcode": make_query("rcode-14.test").to_wire(),
    "root": header() + question(b"\0"),
    "binary label": header() + question(b"\4echo\3\0.\xff\0"),
    "longest name": header() + question(
        b"\4echo" + b"\x3d" * 186 + b"\x3e" * 63 + b"\0"),
    "unknown type": header() + question(rdtype=65280),
    "type ANY": header() + question(rdtype=255),
    "class CH": header() + question(rdclass=3),
    "class NONE": header() + question(rdclass=254),
    "no recursion": header(flags=0) + question(),
    "AD": header(flags=0x0120) + question(),
    "CD": header(flags=0x0110) + question(),
    "Z": header(flags=0x0140) + question(),
    "AA TC RA": header(flags=0x0780) + question(),
    "rcode in query": header(flags=0x010f) + question(),
    "notify": header(flags=0x2000) + question(rdtype=6),
    "update": update(),
    "opcode 3": header(flags=0x1800) + question(),
    "opcode 15": header(flags=0x7800) + question(),
    "signed": signed(),
    "unknown option": with_option(65001, b"hello"),
    "cookie": with_option(10, b"12345678"),
    "padding": with_option(12, b"\0" * 100),
    "client subnet": with_option(8, b"\0\1\x18\0\xc0\0\2"),
    "keepalive": with_option(11, b""),
    "EDNS version 1": WITH_OPT + question() + opt(ttl=1 << 16),
    "DO and Z bits": WITH_OPT + question() + opt(ttl=0xffff),
    "trailing octets": header() + question() + b"trailing",
    "no question": header(counts=(0, 0, 0, 0)),
    "two questions": header(counts=(2, 0, 0, 0)) + question() + question(),
    "question missing": header(),
    "question cut short": header() + question()[:-1],
    "compressed question": header() + b"\xc0\x0c\0\1\0\1",
    "endless label": header() + b"\x3f" + b"x" * 20,
    "counts that lie": header(counts=(1, 9, 9, 9)) + question(),
}


def test_messages_pass_byte_for_byte(proxy, upstream, pki):
    different = []
    with Stream(proxy.address) as stream:
        for what, wire in MESSAGES.items():
            direct = tls_wire(upstream.port, pki.ca, wire)
            if udp_wire(proxy.address, wire) != direct:
                different.append(what + " over UDP")
            if stream.ask(wire) != direct:
                different.append(what + " over TCP")
    assert different == []


def test_query_longer_than_512_octets_passes(proxy):
    for length in 500, 1200, 1500, 4000:
        wire = with_option(65001, b"x" * length)
        with Stream(proxy.address) as stream:
            assert stream.ask(wire)[4:] == wire[4:]
        if len(wire) <= 4096:
            assert udp_wire(proxy.address, wire)[4:] == wire[4:]


def test_nothing_is_added_to_a_query(proxy, upstream):
    wire = make_query("echo.test").to_wire()
    answer = udp_wire(proxy.address, wire)
    assert answer == wire[:2] + bytes([wire[2] | 0x80]) + wire[3:]
