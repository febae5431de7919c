# SPDX-License-Identifier: ISC
"""Clients that see the bytes: UDP, TCP, and DNS over TLS to compare with."""

import socket
import ssl
import struct
import time
import zlib

import dns.edns
import dns.message
import dns.name
import dns.rcode

TIMEOUT = 10


def make_query(name, rdtype="A", edns=None, **kw):
    """A query for name; edns is the payload size to offer, None for no OPT."""
    use = False if edns is None else 0
    return dns.message.make_query(
        name, rdtype, use_edns=use, payload=edns or 0, **kw)


def family(address):
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


def udp_socket(address, source=None):
    sock = socket.socket(family(address), socket.SOCK_DGRAM)
    if source:
        sock.bind((source, 0))
    sock.settimeout(TIMEOUT)
    sock.connect(address)
    return sock


def udp_wire(address, wire, source=None):
    with udp_socket(address, source) as sock:
        sock.send(wire)
        return sock.recv(65535)


def udp(address, query, source=None):
    return dns.message.from_wire(udp_wire(address, query.to_wire(), source))


def tcp(address, query):
    with Stream(address) as stream:
        return dns.message.from_wire(stream.ask(query.to_wire()))


class Stream:
    """DNS messages over a TCP connection."""

    def __init__(self, address, context=None, server_name=None, source=None):
        self.sock = socket.create_connection(
            address, TIMEOUT, (source, 0) if source else None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            self.sock = context.wrap_socket(
                self.sock, server_hostname=server_name)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.sock.close()

    def send(self, *wires):
        self.sock.sendall(b"".join(frame(wire) for wire in wires))

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            part = self.sock.recv(count - len(data))
            if not part:
                raise EOFError("closed after %d bytes" % len(data))
            data += part
        return data

    def receive(self):
        (length,) = struct.unpack("!H", self._exactly(2))
        return self._exactly(length)

    def ask(self, wire):
        self.send(wire)
        return self.receive()

    def exchange(self, query):
        return dns.message.from_wire(self.ask(query.to_wire()))

    def at_end(self):
        """True once the other side has closed."""
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True


def frame(wire):
    return struct.pack("!H", len(wire)) + wire


def tls_wire(port, ca, wire):
    """What the upstream itself answers, asked without anything between."""
    context = ssl.create_default_context(cafile=ca)
    address = ("127.0.0.1", port)
    with Stream(address, context, "dot.test") as stream:
        return stream.ask(wire)


def address_of(name):
    """The A record the scripted upstream has for a name."""
    wire = dns.name.from_text(str(name)).to_wire().lower()
    return socket.inet_ntoa(struct.pack("!I", zlib.crc32(wire)))


def is_right(query, answer):
    """True if this is the upstream's answer to this very query."""
    name = query.question[0].name
    return (
        answer.id == query.id
        and answer.question == query.question
        and answer.rcode() == dns.rcode.NOERROR
        and [rr.to_text() for rrset in answer.answer for rr in rrset]
        == [address_of(name)]
    )


def is_servfail(answer):
    return answer.rcode() == dns.rcode.SERVFAIL


def ede_codes(answer):
    return [option.code for option in answer.options
            if option.otype == dns.edns.EDE]


def eventually(condition, seconds=TIMEOUT, what="condition"):
    """Waits until condition() is true and returns what it returned."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, "no %s in %d s" % (what, seconds)
        time.sleep(0.02)
