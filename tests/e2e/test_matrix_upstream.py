# SPDX-License-Identifier: ISC
"""
Upstreams at fault, one fault each: docs/RELIABILITY.md.  Beside one that is
good and under load nobody notices.  Alone and with few queries each of them
is answered or SERVFAIL, the log says why once, and dotproxyctl how often; that
costs no processor and no memory; and the upstream is used again as soon as it
behaves.
"""

import time

import dns.message
import pytest

from dnsclient import (
    eventually, is_right, is_servfail, make_query, udp, udp_socket)
from programs import SANITIZED, free_port, is_flawless, load
from resources import cpu_seconds, resident_kib

PATIENCE_S = 0.8    # of a client, where the upstream is alone
LINES = ("handshake timeout 3s", "read timeout 2s")
LATE = {"handshake", "timeout"}
BATCH = 30          # queries at a time
IDLE_S = 1
IDLE_CPU_S = 0.2    # of all processes, in that time
GROWTH_KIB = 8192


class Fault:
    """
    How an upstream is told to be at fault; whether it answers nonetheless; as
    what phase of a connection that is counted, and what the log says.
    """

    def __init__(self, *knobs, phase=None, said="", leaf="good", pin=None,
                 answers=False):
        self.knobs = knobs
        self.phase = phase
        self.said = said
        self.leaf = leaf
        self.pin = pin
        self.answers = answers


FAULTS = {
    # TCP
    "RST": Fault("rst", phase="read", said="reset"),
    "close": Fault("close", phase="read", said="connection closed"),
    "silence": Fault("drop", phase="timeout", said="no answer"),
    "silence in the handshake": Fault(
        "stall", phase="handshake", said="timed out"),
    "drip": Fault("drip=2000", phase="timeout", said="no answer"),
    # DNS
    "garbage": Fault("garbage", phase="protocol", said="not an answer"),
    "wrong ID": Fault(
        "wrongid", phase="protocol", said="nothing has asked for"),
    "wrong question": Fault(
        "wrongq", phase="protocol", said="another question"),
    "oversized frame": Fault(
        "oversize", phase="timeout", said="no answer"),
    "zero-length frame": Fault(
        "zero", phase="protocol", said="not an answer"),
    "half a frame, then close": Fault(
        "half", phase="read", said="connection closed"),
    # TLS
    "alert": Fault("alert", phase="read", said="alert"),
    "alert in the handshake": Fault(
        "hello-alert", phase="handshake", said="alert"),
    "no TLS record": Fault("raw", phase="read", said="wrong version"),
    "bad MAC": Fault("badmac", phase="read", said="bad record mac"),
    "renegotiation": Fault("tls12", "rekey", phase="read", said="alert",
                           answers=True),
    "new keys": Fault("rekey", answers=True),
    "10,000 tickets": Fault(
        "tickets=10000", phase="read", said="too many tickets"),
    # Certificates
    "expired": Fault(leaf="expired", phase="verify", said="expired"),
    "wrong name": Fault(leaf="wrong_name", phase="verify", said="name: "),
    "wrong pin": Fault(
        pin="stranger", phase="verify", said="no certificate matches a pin"),
    "certificate of 60 KiB": Fault(leaf="large", answers=True),
    "certificate of 120 KiB": Fault(
        leaf="too_large", phase="handshake", said="excessive message size"),
}


@pytest.fixture(scope="module")
def leaves(pki):
    pki.large = pki.issue("large", filling=60 * 1024)
    pki.too_large = pki.issue("too-large", filling=120 * 1024)
    return pki


class Suspect:
    """An upstream at fault, which can be made to behave."""

    def __init__(self, name, make_upstream, pki):
        self.name = name
        self.fault = FAULTS[name]
        self.pki = pki
        self.leaf = getattr(pki, self.fault.leaf)
        self.server = make_upstream(
            *self.fault.knobs, leaf=self.leaf, port=free_port())

    def block(self):
        pin = self.fault.pin
        return self.server.block("bad", *LINES, *(
            ['pin "%s"' % getattr(self.pki, pin).pin] if pin else []))

    def mend(self, proxy):
        if self.fault.pin:
            self.fault = Fault()
            proxy.configure(self.block())
            proxy.reload()
        elif self.leaf is not self.pki.good or "10,000" in self.name:
            args = self.server.args
            args[args.index("-c"):] = [
                "-c", self.pki.good.cert, "-k", self.pki.good.key]
            self.server.restart()
        else:
            for knob in self.fault.knobs:
                self.server.set(knob.partition("=")[0] + "=0")


@pytest.mark.parametrize("name", FAULTS)
def test_under_load_beside_a_good_one(
        make_proxy, make_upstream, leaves, name):
    suspect = Suspect(name, make_upstream, leaves)
    proxy = make_proxy(suspect.block(), make_upstream().block("good"))
    result = load(proxy.address, "-r", "300", "-q", "3000", "-T", "2")
    assert is_flawless(result), result
    assert suspect.server.stats()["connections"] > 0


def ends(proxy, names):
    """Asks for all of these at once; returns what came of it, in order."""
    queries = [make_query(name, id=i, edns=1232)
               for i, name in enumerate(names)]
    answers = [None] * len(queries)
    with udp_socket(proxy.address) as sock:
        for query in queries:
            sock.send(query.to_wire())
        for _ in queries:
            answer = dns.message.from_wire(sock.recv(65535))
            assert answers[answer.id] is None
            assert answer.question == queries[answer.id].question
            answers[answer.id] = answer
    return answers


def count(proxy):
    """Failures by phase, and how often that was."""
    return {error["phase"]: error["count"]
            for error in proxy.ctl_json("show", "errors")["errors"]}


@pytest.mark.parametrize("name", FAULTS)
def test_alone_then_idle_then_mended(
        make_proxy, make_upstream, leaves, name):
    suspect = Suspect(name, make_upstream, leaves)
    fault = suspect.fault
    proxy = make_proxy(suspect.block(), timeout="%dms" % (PATIENCE_S * 1000))
    pool = proxy.child("pool")
    ends(proxy, ["first.test"])
    before = resident_kib(pool)
    for turn in range(2):
        for answer in ends(proxy, ["n%d-%d.test" % (turn, i)
                                   for i in range(BATCH)]):
            assert is_servfail(answer) is not fault.answers, answer
    eventually(lambda: not fault.phase or count(proxy).get(fault.phase),
               what="a failure")
    # Who is late in all is late in the first thing, too.
    assert set(count(proxy)) <= {fault.phase, *LATE}, proxy.log()
    if not SANITIZED:
        assert resident_kib(pool) - before < GROWTH_KIB
    told = [line for line in proxy.log().splitlines()
            if " warn: pool: " in line]
    assert len(told) == (1 if fault.phase else 0), proxy.log()
    assert not fault.phase or fault.said in told[0].lower(), told

    spent = cpu_seconds(proxy.pids())
    time.sleep(IDLE_S)
    assert cpu_seconds(proxy.pids()) - spent < IDLE_CPU_S

    suspect.mend(proxy)
    query = make_query("www.test")
    eventually(lambda: is_right(query, udp(proxy.address, query)),
               what="an answer")
    assert len(proxy.log().splitlines()) < 12, proxy.log()
