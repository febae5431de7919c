# SPDX-License-Identifier: ISC
"""
Messages of every kind a client may send, sane or not, by what is special about
them.  All ask for names in the zone of servers.py, so that a real server has
something to say.  The ID is whoever sends them to choose.
"""

import random
import struct

NAME = b"\3www\4zone\4test\0"
BIG = b"\3big\4zone\4test\0"
OTHER = b"\3www\5other\0"

QR, AA, TC, RD = 0x8000, 0x0400, 0x0200, 0x0100
RA, Z, AD, CD = 0x0080, 0x0040, 0x0020, 0x0010

A, SOA, TXT, OPT, ANY = 1, 6, 16, 41, 255
IN, CH, HS, NONE = 1, 3, 4, 254

NSID, SUBNET, COOKIE, KEEPALIVE, PADDING = 3, 8, 10, 11, 12


def header(flags=RD, counts=(1, 0, 0, 0)):
    return struct.pack("!6H", 0, flags, *counts)


def question(name=NAME, rdtype=A, rdclass=IN):
    return name + struct.pack("!2H", rdtype, rdclass)


def record(name=NAME, rdtype=A, rdclass=IN, ttl=0, rdata=b""):
    return name + struct.pack("!2HIH", rdtype, rdclass, ttl, len(rdata)) + rdata


def opt(payload=4096, version=0, do=False, z=0, rcode=0, options=b""):
    ttl = rcode << 24 | version << 16 | do << 15 | z
    return record(b"\0", OPT, payload, ttl, options)


def option(code, data=b""):
    return struct.pack("!2H", code, len(data)) + data


def query(name=NAME, rdtype=A, rdclass=IN, flags=RD, edns=None):
    """One question; edns is the OPT record, if there is to be one."""
    counts = (1, 0, 0, 0 if edns is None else 1)
    return (header(flags, counts) + question(name, rdtype, rdclass)
            + (edns or b""))


def with_options(*options, **kw):
    return query(edns=opt(options=b"".join(options), **kw))


def _opcodes():
    for opcode in range(16):
        for flags in 0, RD, RD | CD | AD:
            yield ("opcode %d flags %04x" % (opcode, flags),
                   query(rdtype=SOA, flags=opcode << 11 | flags))
        yield ("opcode %d with OPT" % opcode,
               query(rdtype=SOA, flags=opcode << 11, edns=opt(do=True)))
        yield "opcode %d alone" % opcode, header(opcode << 11, (0, 0, 0, 0))


def _flags():
    bits = AA, TC, RD, RA, Z, AD, CD
    for n in range(1 << len(bits)):
        flags = sum(bit for i, bit in enumerate(bits) if n >> i & 1)
        yield "flags %04x" % flags, query(flags=flags)
    for rcode in range(16):
        yield "rcode %d in a query" % rcode, query(flags=RD | rcode)
        yield ("rcode %d and OPT" % rcode,
               query(flags=RD | rcode, edns=opt(rcode=rcode)))


def _types():
    for rdclass in 0, 1, 2, CH, HS, NONE, ANY, 256, 65280, 65535:
        for name in NAME, b"\7version\4bind\0", b"\2id\6server\0", b"\0":
            for rdtype in A, TXT, ANY:
                yield ("class %d type %d %r" % (rdclass, rdtype, name),
                       query(name, rdtype, rdclass))
    # Not 251 and 252: transfers are another matter.
    for rdtype in (*range(0, 70), 99, 103, 108, 128, 248, 249, 250, 253, 254,
                   255, 256, 257, 258, 259, 32768, 32769, 65280, 65535):
        yield "type %d" % rdtype, query(rdtype=rdtype)
        yield ("type %d with DO" % rdtype,
               query(b"\4zone\4test\0", rdtype, edns=opt(do=True)))


def _edns():
    for version in 0, 1, 2, 255:
        for do in False, True:
            yield ("EDNS version %d %s" % (version, do),
                   query(edns=opt(version=version, do=do)))
    for payload in (0, 1, 511, 512, 513, 1220, 1231, 1232, 1233, 1452, 4095,
                    4096, 4097, 16384, 65507, 65535):
        for name, rdtype in (NAME, A), (BIG, TXT):
            yield ("payload %d of %r" % (payload, name),
                   query(name, rdtype, edns=opt(payload)))
    yield "Z bits of OPT", query(edns=opt(z=0x7fff, do=True))
    yield "rcode of OPT", query(edns=opt(rcode=255))
    yield "OPT not at root", header(RD, (1, 0, 0, 1)) + question() + record(
        NAME, OPT, 4096)
    yield "two OPT", header(RD, (1, 0, 0, 2)) + question() + opt() + opt(1232)
    yield "OPT in answer section", header(RD, (1, 1, 0, 0)) + question() + opt()
    yield "OPT in authority", header(RD, (1, 0, 1, 0)) + question() + opt()
    yield "OPT before a record", (
        header(RD, (1, 0, 0, 2)) + question() + opt() + record(rdata=b"1234"))
    yield "OPT after a record", (
        header(RD, (1, 0, 0, 2)) + question() + record(rdata=b"1234") + opt())
    yield "OPT without question", header(RD, (0, 0, 0, 1)) + opt()
    yield "OPT cut", query(edns=opt()[:-1])
    yield "OPT's data cut", query(edns=opt(options=option(NSID))[:-1])
    yield "OPT counted twice", header(RD, (1, 0, 0, 2)) + question() + opt()


def _options():
    subnet = struct.pack("!HBB", 1, 24, 0) + bytes([192, 0, 2])
    subnet6 = struct.pack("!HBB", 2, 56, 0) + bytes.fromhex("20010db8000000")
    known = {
        "NSID": option(NSID),
        "NSID with data": option(NSID, b"x"),
        "client cookie": option(COOKIE, b"\1\2\3\4\5\6\7\x08"),
        "cookie too short": option(COOKIE, b"1234567"),
        "cookie too long": option(COOKIE, b"x" * 41),
        "subnet": option(SUBNET, subnet),
        "subnet of IPv6": option(SUBNET, subnet6),
        "subnet of nobody": option(SUBNET, struct.pack("!HBB", 1, 0, 0)),
        "subnet, wrong family": option(SUBNET, struct.pack("!HBB", 9, 0, 0)),
        "subnet too long": option(SUBNET, subnet + b"xxxxx"),
        "keepalive": option(KEEPALIVE),
        "keepalive with data": option(KEEPALIVE, b"\0\x64"),
        "padding": option(PADDING, b"\0" * 77),
        "padding of 0": option(PADDING),
        "padding not 0": option(PADDING, b"xyz"),
        "long padding": option(PADDING, b"\0" * 3000),
        "EXPIRE": option(9),
        "CHAIN": option(13, NAME),
        "KEY-TAG": option(14, b"\x4a\x5c"),
        "EDE": option(15, b"\0\0text"),
        "REPORT-CHANNEL": option(18, NAME),
        "ZONEVERSION": option(19),
        "option 0": option(0, b"data"),
        "unknown": option(65001, b"hello"),
        "option 65535": option(65535),
        "data in excess": option(NSID) + b"\0",
        "length in excess": struct.pack("!2H", 65001, 9) + b"short",
    }
    for what, data in known.items():
        yield what, with_options(data)
        yield what + " with DO", with_options(data, do=True)
    yield "twice the same", with_options(option(NSID), option(NSID))
    yield "many", with_options(*[option(65001 + i, b"x") for i in range(100)])
    yield "several", with_options(
        option(NSID), option(SUBNET, subnet), option(PADDING, b"\0" * 20))


def _counts():
    yield "no question", header(RD, (0, 0, 0, 0))
    yield "two questions", header(RD, (2, 0, 0, 0)) + question() * 2
    yield "two different", (
        header(RD, (2, 0, 0, 0)) + question() + question(BIG, TXT))
    yield "ten questions", header(RD, (10, 0, 0, 0)) + question() * 10
    yield "60 questions", header(RD, (60, 0, 0, 0)) + question() * 60
    yield "question missing", header()
    yield "second missing", header(RD, (2, 0, 0, 0)) + question()
    yield "question not counted", header(RD, (0, 0, 0, 0)) + question()
    yield "all counts 65535", header(RD, (65535,) * 4) + question()
    for i, section in enumerate(("answer", "authority", "additional"), 1):
        counts = [1, 0, 0, 0]
        counts[i] = 1
        yield "record in " + section, header(RD, counts) + question() + record(
            rdata=bytes([192, 0, 2, 1]))
        yield "missing in " + section, header(RD, counts) + question()
    for rest in b"\0", b"trailing octets", b"\xff" * 500:
        yield "%d octets more" % len(rest), query() + rest
        yield "%d after OPT" % len(rest), query(edns=opt()) + rest


def _cut():
    whole = query(edns=opt(options=option(NSID)))
    for length in range(12, len(whole)):
        yield "%d octets of a query" % length, whole[:length]


def _names():
    def asked(name):
        return header() + name + b"\0\1\0\1"

    label = b"\x3f" + b"x" * 63
    yield "root", query(b"\0")
    yield "mixed case", query(b"\3wWw\4ZoNe\4tEsT\0", edns=opt(do=True))
    yield "mixed case, no such name", query(b"\2nO\4ZoNe\4tEsT\0")
    yield "mixed case, wildcard", query(b"\1X\4WiLd\4zOnE\4TEst\0", TXT)
    yield "no zone of ours", query(OTHER)
    yield "label of 63", query(label + b"\4zone\4test\0")
    yield "name of 255", query(label * 3 + b"\x34" + b"y" * 52
                               + b"\4zone\4test\0")
    yield "name of 256", query(label * 3 + b"\x35" + b"y" * 53
                               + b"\4zone\4test\0")
    yield "127 labels", query(b"\1x" * 122 + b"\4zone\4test\0")
    yield "binary label", query(b"\5\0.\\ \xff\4zone\4test\0")
    yield "label type 01", asked(b"\x41\x08\xc0\xa8\0")
    yield "label type 10", asked(b"\x80\3www\0")
    yield "pointer to itself", asked(b"\xc0\x0c")
    yield "pointer into the header", asked(b"\xc0\0")
    yield "pointer forward", asked(b"\xc0\x20")
    yield "pointer beyond", asked(b"\xff\xff")
    yield "label and pointer to itself", asked(b"\3www\xc0\x0c")
    yield "pointer cut", header() + b"\xc0"
    yield "endless label", header() + b"\x3f" + b"x" * 20
    yield "second question compressed", (
        header(RD, (2, 0, 0, 0)) + question() + b"\xc0\x0c\0\1\0\1")


def _others():
    update = header(5 << 11, (1, 0, 1, 0)) + question(b"\4zone\4test\0", SOA)
    yield "update", update + record(b"\3new\4zone\4test\0", A, IN, 300, b"1234")
    yield "update, deletes", update + record(rdtype=A, rdclass=ANY)
    yield "notify with SOA", (
        header(4 << 11 | AA, (1, 1, 0, 0)) + question(b"\4zone\4test\0", SOA)
        + record(b"\4zone\4test\0", SOA, IN, 300, b"\0\0" + bytes(20)))
    tkey = record(NAME, 249, ANY, 0, b"\0" * 26)
    yield "TKEY", (header(RD, (1, 0, 0, 1)) + question(NAME, 249, ANY) + tkey)
    tsig = b"\x0bhmac-sha256\0" + bytes(6) + struct.pack(
        "!2H16s3H", 300, 16, b"x" * 16, 1, 0, 0)
    # Knot repeats the message's ID in its TSIG: test_tsig.py knows.
    yield "TSIG is broken", (
        header(RD, (1, 0, 0, 1)) + question()
        + record(b"\3key\0", 250, ANY, 0, b"xxx"))
    yield "TSIG not last", (
        header(RD, (1, 0, 0, 2)) + question()
        + record(b"\3key\0", 250, ANY, 0, tsig) + opt())
    yield "SIG(0)", (
        header(RD, (1, 0, 0, 1)) + question()
        + record(b"\0", 24, ANY, 0, bytes(18) + b"\0" + b"s" * 64))


def _noise():
    rng = random.Random(4711)
    for i in range(100):
        wire = bytearray(query(edns=opt(options=option(NSID))))
        for _ in range(rng.randrange(1, 4)):
            wire[rng.randrange(4, len(wire))] = rng.randrange(256)
        yield "octets changed %d" % i, bytes(wire)
    for i in range(30):
        head = header(rng.randrange(0x10000) & ~QR,
                      [rng.randrange(3) for _ in range(4)])
        yield "noise %d" % i, head + rng.randbytes(rng.randrange(100))


def _sizes():
    for length in 500, 513, 1232, 1473, 4000:
        yield "query of %d octets" % length, with_options(
            option(65001, bytes(length - 48)))


def _zone():
    """What there is in the zone, and is not, from small to long."""
    names = ("", "www", "alias", "chain", "away", "x.wild", "x.y.wild", "wild",
             "b.c", "no", "no.www", "below", "x.below", "ns.below", "old",
             "www.old", "no.old", "odd", "svc", "big", "size100", "size450",
             "size1000", "size3000", "size10000", "size30000", "size60000")
    for label in names:
        name = b"".join(bytes([len(part)]) + part.encode() for part in (
            label + ".zone.test").strip(".").split(".")) + b"\0"
        for rdtype in A, TXT, SOA, ANY, 43, 65280:
            for edns in None, opt(1232), opt(65535, do=True):
                yield ("%s type %d %r" % (label, rdtype, edns),
                       query(name, rdtype, edns=edns))


KINDS = {
    "opcodes": _opcodes, "flags": _flags, "types": _types, "edns": _edns,
    "options": _options, "counts": _counts, "cut": _cut, "names": _names,
    "others": _others, "noise": _noise, "sizes": _sizes, "zone": _zone,
}


def of_kind(kind):
    return dict(KINDS[kind]())
