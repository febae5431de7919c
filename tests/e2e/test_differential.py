# SPDX-License-Identifier: ISC
"""
What a client gets through dotproxy is, byte for byte, what the server says over
TLS to the same message; where the server says nothing, it is SERVFAIL.
"""

import concurrent.futures
import time

import pytest

import messages
import servers
from differential import (
    IPV4, IPV6, Direct, difference, flags_of, over_tcp, over_udp, udp_limit,
    with_id)
from programs import upstream_block

EDITS = "padding yes", "edns keepalive yes", "strip ecs yes"
# Knot takes an empty OPT of payload 1 for a bad record of class IN, and one with
# options not.
CURED = "payload 1 of "
WAYS = "UDP", "UDP6", "TCP", "TCP6"

# NSD and Unbound answer some 100 queries a second with an error, and are silent
# to the others: what they answer that way, or not at all, is asked slower.
ERRORS_AT_ONCE = 25
ERRORS_PER_SECOND = {"nsd": 75, "unbound": 75, "knot": 1000}
RCODES_LIMITED = 1, 4


def limit_of(way, wire):
    if way.startswith("TCP"):
        return 65535
    return udp_limit(wire, IPV6 if way == "UDP6" else IPV4)


def is_limited(answer):
    return answer is None or flags_of(answer) & 15 in RCODES_LIMITED


def ask_directly(direct, named, rate):
    answers = {}
    for name, wire in named.items():
        answers[name] = direct.ask(with_id(wire, 1))
        if is_limited(answers[name]):
            time.sleep(1 / rate)
    return answers


def is_said_directly(direct, wire, answer, rate):
    """
    True if the server may say this, too.  Knot closes after a message that it
    cannot parse, and its answer may or may not get through stunnel before.
    """
    for _ in range(40):
        if not difference(wire, direct.ask(wire), answer):
            return True
        time.sleep(1 / rate)
    return False


def ask_proxy(proxy, way, wires, rate=None):
    """The answers, in order; with a rate, at that pace."""
    ask = over_tcp if way.startswith("TCP") else over_udp
    address = proxy.address6 if way.endswith("6") else proxy.address
    step = ERRORS_AT_ONCE if rate else len(wires)
    answers = []
    for first in range(0, len(wires), step or 1):
        some = wires[first:first + step]
        got = ask(address, some)
        answers += [got.get(n) for n in range(len(some))]
        if rate:
            time.sleep(len(some) / rate)
    return answers


def compare(proxy, direct, named, rate):
    """
    Asks everything in every way; returns what differs, and the names of the
    messages the server left alone.  Those come last: what ends a connection
    may cost an UPDATE beside it its answer, which must not be sent twice.
    """
    whole = ask_directly(direct, named, rate)
    fine = [name for name in named if not is_limited(whole[name])]
    errors = [name for name in named
              if whole[name] and is_limited(whole[name])]
    silent = [name for name in named if whole[name] is None]
    found = {}

    def check(names, way, answers):
        for name, answer in zip(names, answers):
            number = answer[:2] if answer else b"\0\0"
            wire = number + named[name][2:]
            expected = whole[name] and number + whole[name][2:]
            what = difference(wire, expected, answer, limit_of(way, wire))
            if what and not (is_limited(whole[name]) and is_said_directly(
                    direct, wire, answer, rate)):
                found[name, way] = what

    for way in WAYS:
        check(fine, way, ask_proxy(proxy, way, [named[n] for n in fine]))
        check(errors, way,
              ask_proxy(proxy, way, [named[n] for n in errors], rate))
    # Each of these takes the query timeout.
    with concurrent.futures.ThreadPoolExecutor(len(WAYS)) as pool:
        wires = [named[name] for name in silent]
        for way, answers in zip(WAYS, pool.map(
                lambda way: ask_proxy(proxy, way, wires), WAYS)):
            check(silent, way, answers)
    return found, silent


@pytest.mark.parametrize("edits", [(), EDITS], ids=["plain", "edits"])
@pytest.mark.parametrize("kind", messages.KINDS)
@pytest.mark.parametrize("server", servers.SIGNED_SERVERS)
def test_no_message_shows_the_proxy(
        make_proxy, make_signed, pki, server, kind, edits):
    port = make_signed(server)
    proxy = make_proxy(
        upstream_block(server, port, pki.ca, *edits), timeout="2s")
    named = messages.of_kind(kind)
    if edits and server == "knot":
        named = {name: wire for name, wire in named.items()
                 if not name.startswith(CURED)}
    found, silent = compare(
        proxy, Direct(port, pki.ca), named, ERRORS_PER_SECOND[server])
    print("%s, %s: %d messages, %d not answered by the server" % (
        server, kind, len(named), len(silent)))
    assert found == {}
