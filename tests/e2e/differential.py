# SPDX-License-Identifier: ISC
"""
The same message to a server over TLS and through dotproxy, and whether the
client could tell the difference.  The server is asked on a connection of its
own for each message, followed by a query it is known to answer: what it has
not answered by then, it does not answer.
"""

import select
import socket
import ssl
import struct
import time

from dnsclient import Stream, make_query
from messages import OPT

LAST_ID = 0xffff
WINDOW = 64
AHEAD = 0.1             # seconds that the known query waits
PATIENCE = 20           # seconds, many times the query timeout
SERVFAIL, NOTIMP = 2, 4
IPV4, IPV6 = 65507, 65487   # octets of payload in the longest packet


def with_id(wire, number):
    return struct.pack("!H", number) + wire[2:]


def flags_of(wire):
    return struct.unpack("!H", wire[2:4])[0]


def opcode_of(wire):
    return flags_of(wire) >> 11 & 15


class Direct:
    """The server itself, over TLS."""

    def __init__(self, port, ca, known="www.zone.test"):
        self.address = "127.0.0.1", port
        self.context = ssl.create_default_context(cafile=ca)
        self.last = make_query(known, id=LAST_ID).to_wire()

    def ask(self, wire):
        """The answer, or None if it closes or says nothing."""
        answer = None
        with Stream(self.address, self.context, "dot.test") as stream:
            try:
                stream.send(wire)
                # At once it might make a server reset the connection that
                # it is closing, and its answer be lost.
                select.select([stream.sock], [], [], AHEAD)
                stream.send(self.last)
                for _ in range(2):
                    got = stream.receive()
                    if got[:2] == self.last[:2]:
                        return answer
                    answer = got
            except (EOFError, ConnectionError, ssl.SSLError):
                pass
        return answer


def over_udp(address, wires):
    """Answers by number; many are asked at once, those missing are absent."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    answers, waiting, todo = {}, set(), list(range(len(wires)))
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        sock.connect(address)
        deadline = time.monotonic() + PATIENCE
        while todo or waiting:
            while todo and len(waiting) < WINDOW:
                number = todo.pop(0)
                sock.send(with_id(wires[number], number))
                waiting.add(number)
            if not select.select([sock], [], [], 1)[0]:
                if time.monotonic() > deadline:
                    break
                continue
            answer = sock.recv(65535)
            number = struct.unpack("!H", answer[:2])[0]
            assert number in waiting, "answered twice: %d" % number
            waiting.remove(number)
            answers[number] = answer
            deadline = time.monotonic() + PATIENCE
    return answers


def over_tcp(address, wires):
    """The same on one connection, in whatever order the answers come."""
    answers = {}
    with Stream(address) as stream:
        stream.sock.settimeout(PATIENCE)
        for first in range(0, len(wires), WINDOW):
            numbers = range(first, min(first + WINDOW, len(wires)))
            stream.send(*[with_id(wires[n], n) for n in numbers])
            for _ in numbers:
                answer = stream.receive()
                number = struct.unpack("!H", answer[:2])[0]
                assert number not in answers
                answers[number] = answer
    return answers


def _is_error(wire, answer, rcode):
    return (answer[:2] == wire[:2] and flags_of(answer) & 15 == rcode
            and opcode_of(answer) == opcode_of(wire)
            and flags_of(answer) & 0x8000 and answer[6:10] == bytes(4))


def _is_cut_from(answer, whole, limit):
    """Truncated as promised: the header with TC, question, OPT or nothing."""
    return (len(answer) <= limit < len(whole)
            and answer[:2] == whole[:2]
            and flags_of(answer) == flags_of(whole) | 0x0200
            and answer[4:6] in (whole[4:6], b"\0\0")
            and answer[6:10] == bytes(4)
            and (answer[4:6] == b"\0\0"
                 or answer[12:30] == whole[12:30]))


def difference(wire, direct, answer, limit=65535):
    """What a client could tell, or None."""
    if answer is None:
        return "no answer"
    if opcode_of(wire) == 6:
        return None if _is_error(wire, answer, NOTIMP) else "DSO is answered"
    if direct is None:
        if _is_error(wire, answer, SERVFAIL):
            return None
        return "answered, but the server did not"
    if len(direct) > limit:
        if _is_cut_from(answer, direct, limit):
            return None
        return "not truncated as it should be"
    if answer != direct:
        return "is %s, was to be %s" % (answer.hex(), direct.hex())
    return None


def udp_limit(wire, most):
    """What the client takes: its OPT is the last thing that looks like one."""
    at = wire.rfind(b"\0" + struct.pack("!H", OPT), 12)
    payload = 512
    if 0 <= at <= len(wire) - 5:
        payload = max(512, struct.unpack("!H", wire[at + 3:at + 5])[0])
    return min(payload, most)
