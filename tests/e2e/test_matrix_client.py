# SPDX-License-Identifier: ISC
"""
Clients at fault: docs/RELIABILITY.md.  While they do what they can others ask,
and are answered, all of them; afterwards nothing of it is left.  All of it is
in a network namespace in which every address of a /16 is this machine's.
"""

import collections
import os
import random
import socket
import struct
import subprocess
import threading
import time

import dns.message
import pytest

from dnsclient import (
    Stream, eventually, frame, is_right, make_query, tcp, udp, udp_socket)
from netns import Namespace
from programs import SANITIZED, BackgroundLoad, is_flawless
from resources import cpu_seconds, resident_kib

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="a network namespace needs root")

LOAD_S = 3
GROWTH_KIB = 64 * 1024
IDLE_CPU_S = 0.3
CROWD = 10000       # addresses
IP_PKTINFO = 8
FROM = "10.200.250.1"       # not the address of those who behave
RESET = struct.pack("ii", 1, 0)


@pytest.fixture
def namespace():
    space = Namespace()
    space.run(subprocess.run, ["ip", "route", "add", "local", "10.200.0.0/16",
                               "dev", "lo"])
    yield space
    space.close()


def of_crowd(i):
    return "10.200.%d.%d" % (i // 250, 1 + i % 250)


def long_query(name, size):
    """A query with padding, so that it has so many bytes."""
    head = make_query(name, "TXT", edns=4096).to_wire()
    (rdlen,) = struct.unpack("!H", head[-2:])
    assert rdlen == 0
    fill = size - len(head) - 4
    return head[:-2] + struct.pack("!3H", fill + 4, 65001, fill) + bytes(fill)



def packet(source, target, payload, ident=0, offset=0, more=False):
    """An IP packet; the kernel sees to its length and checksum."""
    return struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 0, ident, offset // 8 | more << 13, 64,
        socket.IPPROTO_UDP, 0, socket.inet_aton(source),
        socket.inet_aton(target)) + payload


def datagram(sport, port, data):
    return struct.pack("!4H", sport, port, 8 + len(data), 0) + data


def raw_socket():
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    return sock


# --- what they do, again and again until they are told to stop ---

def slow_loris(address, stop):
    streams = [Stream(address, source=FROM) for _ in range(200)]
    for stream in streams:
        stream.sock.sendall(b"\xff")
    while not stop.wait(0.05):
        for stream in random.sample(streams, 50):
            try:
                stream.sock.send(b"\xff")
            except OSError:
                pass        # it was taken for idle
    for stream in streams:
        stream.sock.close()


def never_reads(address, stop):
    queries = [make_query("size-60000.n%d.test" % i, "TXT").to_wire()
               for i in range(100)]
    streams = [Stream(address, source=FROM) for _ in range(8)]
    for stream in streams:      # all at once is what overload is about
        stream.send(*queries)
        stop.wait(0.3)
    stop.wait()
    for stream in streams:
        stream.sock.close()


def flood_from_one(address, stop):
    with udp_socket(address, FROM) as sock:
        wires = [make_query("f%d.test" % i).to_wire() for i in range(256)]
        while not stop.is_set():
            for wire in wires:
                sock.send(os.urandom(2) + wire[2:])


def connections_from_a_crowd(address, stop):
    held = collections.deque()
    for i in range(CROWD):
        if stop.is_set():
            break
        held.append(socket.create_connection(
            address, 10, (of_crowd(i), 0)))
        if len(held) > 500:
            held.popleft().close()
    for sock in held:
        sock.close()


def spoofed_flood(address, stop):
    """From addresses of others, and from its own."""
    rng = random.Random(1)
    wire = make_query("spoofed.test").to_wire()
    with raw_socket() as sock:
        while not stop.is_set():
            source = "198.%d.%d.%d" % (
                rng.randrange(18, 20), rng.randrange(256), rng.randrange(256))
            for host, port in ((source, rng.randrange(1, 65536)), address):
                data = os.urandom(2) + wire[2:]
                sock.sendto(packet(host, address[0], datagram(
                    port, address[1], data)), (address[0], 0))


def fragments_never_completed(address, stop):
    data = datagram(5000, address[1], long_query("www.test", 2000))
    with raw_socket() as sock:
        while not stop.wait(0.001):
            ident = random.randrange(65536)
            for offset in 0, 1024, 512:     # what follows never comes
                sock.sendto(packet(
                    of_crowd(random.randrange(CROWD)), address[0],
                    data[offset:offset + 512], ident, offset, True),
                    (address[0], 0))


def reset_in_the_middle(address, stop):
    queries = [make_query("size-60000.n%d.test" % i, "TXT").to_wire()
               for i in range(20)]
    while not stop.is_set():
        with Stream(address, source=FROM) as stream:
            stream.send(*queries)
            stream.sock.recv(1000)
            stream.sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def longest_messages(address, stop):
    over_tcp = long_query("long.test", 65535)
    over_udp = long_query("long.test", 65507)
    with Stream(address, source=FROM) as stream, \
            udp_socket(address, FROM) as sock:
        while not stop.is_set():
            sock.send(over_udp)
            stream.send(*[over_tcp] * 4)
            for _ in range(4):
                stream.receive()


def shortest_messages(address, stop):
    """A header and nothing else, of all kinds."""
    with Stream(address, source=FROM) as stream, \
            udp_socket(address, FROM) as sock:
        stream.sock.settimeout(0)
        while not stop.wait(0.002):
            for _ in range(5):
                header = os.urandom(12)
                sock.send(header)
                try:
                    stream.sock.send(frame(header))
                    stream.sock.recv(65536)
                except BlockingIOError:
                    pass


# Who floods the sockets' buffers takes the place of others' datagrams, which
# the kernel drops without asking whose: TCP is what is left to them.
ATTACKS = {
    slow_loris: "both", never_reads: "both", flood_from_one: "tcp",
    connections_from_a_crowd: "both", spoofed_flood: "tcp",
    fragments_never_completed: "both", reset_in_the_middle: "both",
    longest_messages: "both", shortest_messages: "both",
}


def settled(proxy):
    stats = proxy.ctl_json("show", "stats")
    return (stats["listener"]["in_flight"] == stats["pool"]["in_flight"] == 0
            and stats["listener"]["tcp_open"] == 0)


def live_through(make_proxy, make_upstream, attack, others):
    proxy = make_proxy(make_upstream())
    listener = proxy.child("listener")
    before = resident_kib(listener)
    stop = threading.Event()
    attacker = threading.Thread(target=attack, args=(proxy.address, stop))
    attacker.start()
    time.sleep(0.3)
    loads = [BackgroundLoad(proxy.address, "-r", "100", "-q", "1000",
                            "-T", str(LOAD_S), *args)
             for args in (("-t", "-c", "4"), ())
             if args or others == "both"]
    results = [running.result() for running in loads]
    stop.set()
    attacker.join()
    for result in results:
        assert is_flawless(result), result
    eventually(lambda: settled(proxy), what="the end of it")
    if not SANITIZED:
        assert resident_kib(listener) - before < GROWTH_KIB
    spent = cpu_seconds(proxy.pids())
    time.sleep(1)
    assert cpu_seconds(proxy.pids()) - spent < IDLE_CPU_S
    query = make_query("www.test")
    assert is_right(query, udp(proxy.address, query))
    assert is_right(query, tcp(proxy.address, query))
    assert len(proxy.log().splitlines()) < 10, proxy.log()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda f: f.__name__)
def test_others_are_answered(namespace, make_proxy, make_upstream, attack):
    namespace.run(live_through, make_proxy, make_upstream, attack,
                  ATTACKS[attack])


# --- what is no fault, though it looks like one ---

def ask_from_all(proxy):
    """One query from each address, all from one socket; returns the answers
    that came to the address that had asked."""
    right = 0
    asked = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        sock.bind(("0.0.0.0", 0))
        sock.settimeout(10)
        for i in range(CROWD):
            address = of_crowd(i)
            query = make_query("n%d.test" % i)
            asked[socket.inet_aton(address)] = query
            sock.sendmsg([query.to_wire()], [(
                socket.IPPROTO_IP, IP_PKTINFO, struct.pack(
                    "i4s4s", 0, socket.inet_aton(address), bytes(4)))],
                0, proxy.address)
            if i % 50 < 49:
                continue
            for _ in range(50):
                wire, ancillary, _, _ = sock.recvmsg(4096, 64)
                to = ancillary[0][2][8:12]
                right += is_right(
                    asked.pop(to), dns.message.from_wire(wire))
    return right


def test_ten_thousand_addresses_are_answered(
        namespace, make_proxy, make_upstream):
    def scene():
        proxy = make_proxy(make_upstream())
        before = resident_kib(proxy.child("listener"))
        assert ask_from_all(proxy) == CROWD
        if not SANITIZED:
            growth = resident_kib(proxy.child("listener")) - before
            assert growth < GROWTH_KIB
    namespace.run(scene)


def test_query_in_fragments_is_answered(namespace, make_proxy, make_upstream):
    """Of 8 bytes each, the last one first."""
    def scene():
        proxy = make_proxy(make_upstream())
        with udp_socket(proxy.address, "127.0.0.1") as sock, \
                raw_socket() as raw:
            for ident in range(1, 20):
                query = make_query("in.fragments%d.test" % ident)
                whole = datagram(sock.getsockname()[1], proxy.port,
                                 query.to_wire())
                for offset in reversed(range(0, len(whole), 8)):
                    raw.sendto(packet(
                        "127.0.0.1", "127.0.0.1", whole[offset:offset + 8],
                        ident, offset, offset + 8 < len(whole)),
                        ("127.0.0.1", 0))
                answer = dns.message.from_wire(sock.recv(4096))
                assert is_right(query, answer)
    namespace.run(scene)


def test_proxy_does_not_talk_to_itself(namespace, make_proxy, make_upstream):
    """Queries that say they are from the address they go to."""
    def scene():
        proxy = make_proxy(make_upstream())
        wire = make_query("www.test").to_wire()
        with raw_socket() as raw:
            for i in range(100):
                raw.sendto(packet("127.0.0.1", "127.0.0.1", datagram(
                    proxy.port, proxy.port, bytes([1, i]) + wire[2:])),
                    ("127.0.0.1", 0))

        def counters():
            return proxy.ctl_json("show", "stats")["listener"]

        eventually(lambda: counters()["answered"] >= 100, what="answers")
        eventually(lambda: counters()["dropped_malformed"] >= 100,
                   what="their end")
        first = counters()
        time.sleep(0.5)
        assert counters()["queries_udp"] == first["queries_udp"]
    namespace.run(scene)
