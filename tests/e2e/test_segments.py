# SPDX-License-Identifier: ISC
"""How many packets a query takes: what can leave together does."""

import socket
import time

import netns
from dnsclient import eventually, is_right, make_query, udp


def ask(link, proxy, name):
    query = make_query(name)
    assert is_right(query, link.near.run(udp, proxy.address, query))


def tcp_payloads(packets, port):
    """What was sent to a port with each packet that had data."""
    found = []
    for packet in packets:
        if packet.protocol != socket.IPPROTO_TCP or packet.target[1] != port:
            continue
        head = (packet.payload[12] >> 4) * 4
        if len(packet.payload) > head:
            found.append(packet.payload[head:])
    return found


def records(data):
    """The types of the TLS records in a segment, which end with it."""
    types = []
    while data:
        types.append(data[0])
        data = data[5 + int.from_bytes(data[3:5], "big"):]
    return types


HANDSHAKE, CIPHER_CHANGE, DATA = 22, 20, 23


def test_first_query_leaves_with_the_end_of_the_handshake(
        far_link, far_proxy):
    """
    After a sleep: the ClientHello in the SYN, then Finished and the query in
    one segment, and nothing else.
    """
    upstream = far_link.upstream("fast-open=16")
    proxy = far_proxy(upstream.block("up", "stale timeout 300ms"),
                      settings="keep warm 0")
    ask(far_link, proxy, "first.test")
    for i in range(2):      # with a cookie and a ticket, from the first on
        eventually(lambda: upstream.stats()["open"] == 0, what="sleep")
        capture = far_link.near.run(netns.Capture)
        ask(far_link, proxy, "n%d.test" % i)
        time.sleep(0.05)    # whatever else there might be
        sent = tcp_payloads(capture.finish(), upstream.port)
        stats = upstream.stats()
        assert stats["resumed"] == stats["fast_opened"] == i + 1
        assert [records(data) for data in sent] == [
            [HANDSHAKE], [CIPHER_CHANGE, DATA, DATA]]
