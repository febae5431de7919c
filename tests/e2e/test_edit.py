# SPDX-License-Identifier: ISC
"""
Padding, edns-tcp-keepalive and no client subnet: what the upstream gets, what
shows on the wire, and that the client cannot tell.
"""

import contextlib
import struct

import dns.edns
import dns.flags
import dns.message
import pytest

from dnsclient import (
    Stream, address_of, eventually, is_right, make_query, tcp, tls_wire, udp,
    udp_wire)
from programs import run, upstream_block
from taps import Recorder, Tap

ALL = "padding yes", "edns keepalive yes", "strip ecs yes"
KEEPALIVE, PADDING = 11, 12
SUBNET = dns.edns.ECSOption("192.0.2.0", 24)
NOBODY = b"\0\1\0\0"
LABELS = "a", "b" * 20, "c" * 40, "d" * 60


@pytest.fixture
def make_recorder(pki):
    with contextlib.ExitStack() as stack:
        def make(*args, **kw):
            recorder = Recorder(pki, *args, **kw)
            stack.callback(recorder.stop)
            return recorder
        yield make


@pytest.fixture
def make_tap():
    with contextlib.ExitStack() as stack:
        def make(port):
            tap = Tap(port)
            stack.callback(tap.stop)
            return tap
        yield make


def queries():
    """Queries of many sizes, with and without options of each kind."""
    for label in LABELS:
        yield make_query(label + ".test")
        yield make_query(label + ".test", edns=1232)
        yield make_query(label + ".test", edns=4096, want_dnssec=True)
        for options in ([SUBNET], [dns.edns.ECSOption("192.0.2.0", 0)],
                        [dns.edns.GenericOption(KEEPALIVE, b"")],
                        [dns.edns.GenericOption(PADDING, bytes(50))],
                        [dns.edns.GenericOption(65001, b"x"), SUBNET,
                         dns.edns.GenericOption(10, b"12345678")]):
            yield make_query(label + ".test", edns=1400, options=options)


def option_data(wire, code):
    return [option.to_wire() for option in
            dns.message.from_wire(wire).options if option.otype == code]


def is_echo(wire, answer):
    return answer == wire[:2] + bytes([wire[2] | 0x80]) + wire[3:]


def test_client_sees_nothing_of_the_edits(make_proxy, make_recorder, pki):
    recorder = make_recorder()
    proxy = make_proxy(upstream_block("all", recorder.port, pki.ca, *ALL))
    for query in queries():
        wire = query.to_wire()
        own = {option.otype for option in query.options}
        over_udp = udp_wire(proxy.address, wire)
        with Stream(proxy.address) as stream:
            assert stream.ask(wire) == over_udp
        seen = dns.message.from_wire(over_udp)
        if PADDING in own:      # is its own, and has become longer
            assert option_data(over_udp, PADDING) > [bytes(50)]
        elif SUBNET in query.options:
            assert SUBNET not in seen.options
            assert len(seen.options) == len(query.options) - 1
        else:
            assert is_echo(wire, over_udp)


def test_upstream_sees_what_the_options_say(make_proxy, make_recorder, pki):
    recorder = make_recorder()
    proxy = make_proxy(upstream_block("all", recorder.port, pki.ca, *ALL))
    for query in queries():
        udp_wire(proxy.address, query.to_wire())
        wire = recorder.seen[-1]
        seen = dns.message.from_wire(wire)
        assert len(wire) % 128 == 0
        assert seen.question == query.question
        assert option_data(wire, KEEPALIVE) == [b""]
        assert option_data(wire, 8) == [NOBODY]
        assert len(option_data(wire, PADDING)) == 1
        assert not any(option_data(wire, PADDING)[0])
        if query.edns >= 0:
            assert seen.ednsflags == query.ednsflags
            assert seen.payload == query.payload
        for option in query.options:
            if option.otype not in (8, KEEPALIVE, PADDING):
                assert option in seen.options


def test_each_option_alone(make_proxy, make_recorder, pki):
    for line, code in zip(ALL, (PADDING, KEEPALIVE, 8)):
        recorder = make_recorder()
        proxy = make_proxy(upstream_block("one", recorder.port, pki.ca, line))
        wire = make_query("www.test").to_wire()
        assert is_echo(wire, udp_wire(proxy.address, wire))
        seen = dns.message.from_wire(recorder.seen[-1])
        assert [option.otype for option in seen.options] == [code]


def test_nothing_is_edited_by_default(make_proxy, make_recorder, pki):
    recorder = make_recorder()
    proxy = make_proxy(upstream_block("none", recorder.port, pki.ca))
    for query in queries():
        wire = query.to_wire()
        assert is_echo(wire, udp_wire(proxy.address, wire))
        assert recorder.seen[-1][2:] == wire[2:]


def test_a_retry_is_edited_for_the_upstream_it_goes_to(
        make_proxy, make_recorder, pki):
    edited, plain = make_recorder(lambda wire: None), make_recorder()
    proxy = make_proxy(
        upstream_block("edited", edited.port, pki.ca, *ALL),
        upstream_block("plain", plain.port, pki.ca),
        settings="policy failover")
    wire = make_query("www.test").to_wire()
    assert is_echo(wire, udp_wire(proxy.address, wire))
    assert len(edited.seen[0]) == 128
    assert plain.seen[-1][2:] == wire[2:]


def test_a_retry_is_edited_though_the_first_was_not(
        make_proxy, make_recorder, pki):
    edited, plain = make_recorder(), make_recorder(lambda wire: None)
    proxy = make_proxy(
        upstream_block("plain", plain.port, pki.ca),
        upstream_block("edited", edited.port, pki.ca, *ALL),
        settings="policy failover")
    wire = make_query("www.test").to_wire()
    assert is_echo(wire, udp_wire(proxy.address, wire))
    assert plain.seen[0][2:] == wire[2:]
    assert len(edited.seen[-1]) == 128


def test_a_reload_turns_it_on_and_off(make_proxy, make_recorder, pki):
    recorder = make_recorder()
    proxy = make_proxy(upstream_block("up", recorder.port, pki.ca))
    wire = make_query("www.test").to_wire()
    for lines, edited in (((), False), (ALL, True), ((), False)):
        proxy.configure(upstream_block("up", recorder.port, pki.ca, *lines))
        proxy.reload()
        assert is_echo(wire, udp_wire(proxy.address, wire))
        assert (len(recorder.seen[-1]) == 128) == edited


@pytest.mark.parametrize("edns", [None, 512, 1232])
def test_truncation_stays_exact_to_the_octet(make_proxy, make_upstream, edns):
    upstream = make_upstream("keepalive=100")
    proxy = make_proxy(upstream.block("up", *ALL))
    limit = edns or 512
    # What is taken out: the upstream's OPT, or the option in it.
    extra = 6 if edns else 17
    for size, cut in ((limit + extra, False), (limit + extra + 1, True)):
        query = make_query("size-%d.test" % size, "TXT", edns=edns)
        wire = udp_wire(proxy.address, query.to_wire())
        answer = dns.message.from_wire(wire)
        assert bool(answer.flags & dns.flags.TC) == cut
        assert cut or len(wire) == limit
        assert (answer.edns >= 0) == (edns is not None)
        assert not answer.options
        with Stream(proxy.address) as stream:
            assert len(stream.ask(query.to_wire())) == size - extra


def test_idle_time_is_learnt_and_not_shown(make_proxy, make_upstream):
    upstream = make_upstream("keepalive=200")
    proxy = make_proxy(upstream.block("up", "edns keepalive yes"))
    for edns in None, 1232:
        answer = udp(proxy.address, make_query("www.test", edns=edns))
        assert (answer.edns >= 0) == (edns is not None)
        assert not answer.options
    asked = make_query("www.test", edns=1232, options=[
        dns.edns.GenericOption(KEEPALIVE, b"")])
    assert [option.otype for option in tcp(proxy.address, asked).options] == [
        KEEPALIVE]


def blocks_of(size):
    """The messages in a record, if it can be blocks of 128 only; else 0."""
    count = size % 128 // 2
    return count if size % 2 == 0 and size >= 130 * count > 0 else 0


def ask_many(proxy, count):
    """One moment's queries, of all sizes."""
    with Stream(proxy.address) as stream:
        some = [make_query("x" * (i % 60) + "n%d.test" % i, id=i,
                           edns=1232 if i % 2 else None).to_wire()
                for i in range(count)]
        stream.send(*some)
        assert {stream.receive()[:2] for _ in some} == {
            wire[:2] for wire in some}


@pytest.mark.parametrize("padding", ["yes", "no"])
def test_sizes_on_the_wire_are_blocks(
        make_proxy, make_upstream, make_tap, pki, padding):
    tap = make_tap(make_upstream().port)
    proxy = make_proxy(upstream_block(
        "tapped", tap.port, pki.ca, "padding " + padding),
        settings="hedge 0%")
    for label in LABELS:
        for edns in None, 1232:
            query = make_query(label + ".test", edns=edns)
            assert is_right(query, udp(proxy.address, query))
    alone = list(tap.sent)
    ask_many(proxy, 60)
    together = tap.sent[len(alone):]
    if padding == "yes":
        assert alone == [130] * 2 * len(LABELS)
        assert sum(map(blocks_of, together)) == 60
        assert sum(together) == 60 * 130
        assert all(size % 130 == 0 for size in together)
        assert min(together) == 130     # the last one is alone
    else:
        assert len(set(alone)) == len(alone)
        assert any(size % 130 for size in together)


@pytest.mark.parametrize("name", ["www.test", "no.test", "x.y.z.no.test"])
def test_unbound_pads_and_the_client_does_not_see(
        make_proxy, make_tap, unbound, pki, name):
    tap = make_tap(unbound)
    proxy = make_proxy(upstream_block("unbound", tap.port, pki.ca, *ALL))
    for kw in {}, {"edns": 1232}, {"edns": 4096, "want_dnssec": True}:
        wire = make_query(name, "TXT", **kw).to_wire()
        direct = tls_wire(unbound, pki.ca, wire)
        assert udp_wire(proxy.address, wire) == direct
        with Stream(proxy.address) as stream:
            assert stream.ask(wire) == direct
    # Tickets have other sizes; answers have these.
    answers = tap.received[-6:]
    assert answers == [470] * 6
    assert tap.sent == [130] * 6


@pytest.mark.parametrize("server", ["unbound", "knot"])
@pytest.mark.parametrize("options", [
    ("+padding=64",), ("+subnet=192.0.2.0/24",), ("+keepalive", "+tcp"),
    ("+padding=300", "+subnet=2001:db8::/48", "+keepalive", "+cookie"),
    ("+noedns",), ("+nsid", "+dnssec")])
def test_dig_is_content(make_proxy, make_signed, pki, server, options):
    proxy = make_proxy(upstream_block(
        server, make_signed(server), pki.ca, *ALL))
    done = run("dig", "@127.0.0.1", "-p", str(proxy.port), "www.zone.test",
               "+norecurse", *options)
    assert done.returncode == 0, done.stdout
    assert "NOERROR" in done.stdout and "192.0.2.1" in done.stdout
    for trouble in "malformed", "WARNING", "Warning":
        assert trouble not in done.stdout
    assert "CLIENT-SUBNET" not in done.stdout
    assert ("EDNS:" in done.stdout) == ("+noedns" not in options)
    if not any(option.startswith("+padding") for option in options):
        assert "PAD" not in done.stdout
