# SPDX-License-Identifier: ISC
"""The far link itself, by plain UDP and TCP: what the tests over it rest on."""

import socket
import time

import pytest

import far
from dnsclient import Stream, eventually, make_query


def udp_ms(link, upstream, seconds=1):
    """The round trip of one query in ms, None if it is lost."""
    wire = make_query("www.test").to_wire()
    address = upstream.address, upstream.port

    def ask():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(seconds)
            start = time.monotonic()
            sock.sendto(wire, address)
            try:
                sock.recv(4096)
            except socket.timeout:
                return None
            return (time.monotonic() - start) * 1000

    return link.near.run(ask)


@pytest.fixture
def upstream(far_link):
    return far_link.upstream("udp")


def test_packets_are_late_and_never_early(far_link, upstream):
    for delay_ms in 2, 20:
        far_link.command("delay", delay_ms)
        times = [udp_ms(far_link, upstream) for _ in range(20)]
        assert min(times) >= 2 * delay_ms
        assert min(times) < 2 * delay_ms + 50


def test_nothing_passes_a_cut(far_link, upstream):
    far_link.cut()
    assert udp_ms(far_link, upstream) is None
    far_link.mend()
    assert udp_ms(far_link, upstream) is not None
    stats = far_link.stats()
    assert (stats["near"]["udp"], stats["near"]["dropped"]) == (2, 1)
    assert stats["far"]["udp"] == 1


def test_one_address_is_silent(far_link, upstream):
    other = far_link.upstream("udp")
    far_link.command("silence", upstream.address)
    assert udp_ms(far_link, upstream) is None
    assert udp_ms(far_link, other) is not None
    far_link.command("hear")
    assert udp_ms(far_link, upstream) is not None


def test_the_same_seed_loses_the_same(far_link, upstream):
    far_link.command("delay", 0)
    far_link.command("loss", 50)
    runs = []
    for seed in 7, 7, 8:
        far_link.command("seed", seed)
        far_link.zero()
        runs.append([udp_ms(far_link, upstream, 0.2) is None
                     for _ in range(16)])
    assert runs[0] == runs[1] != runs[2]
    assert 0 < sum(runs[0]) < 16


def test_a_forgetful_router_passes_only_new_connections(far_link, upstream):
    address = upstream.address, upstream.port

    def is_passed(stream):
        before = far_link.stats()["far"]["packets"]
        far_link.near.run(stream.sock.send, b"\0\0")
        try:
            eventually(lambda: far_link.stats()["far"]["packets"] > before, 1)
        except AssertionError:
            return False
        return True

    with far_link.near.run(Stream, address) as old:
        assert is_passed(old)
        far_link.command("forget")
        assert not is_passed(old)
        with far_link.near.run(Stream, address) as new:
            assert is_passed(new)


def test_kinds_are_counted(far_link, upstream):
    address = upstream.address, upstream.port
    with far_link.near.run(Stream, address):
        pass
    eventually(lambda: far_link.stats()["far"]["fin"] >= 1)
    near = far_link.stats()["near"]
    assert near["syn"] >= 1 and near["fin"] >= 1 and near["udp"] == 0
    assert near["packets"] == sum(near[kind] for kind in (
        "syn", "syn_data", "data", "ack", "fin", "rst", "udp", "other"))


def test_a_fast_open_is_counted_at_both_ends(far_link):
    upstream = far_link.upstream("fast-open=16")

    def connect():
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.sendto(b"x", socket.MSG_FASTOPEN,
                        (upstream.address, upstream.port))

    far_link.near.run(connect)      # is given a cookie
    eventually(lambda: upstream.stats()["connections"] == 1)
    far_link.near.run(connect)
    eventually(lambda: upstream.stats()["connections"] == 2)
    assert upstream.stats()["fast_opened"] == 1
    assert far_link.stats()["near"]["syn_data"] >= 1


def test_it_leaves_nothing_behind(pki):
    if far.why_not():
        pytest.skip(far.why_not())
    link = far.FarLink(pki)
    names = link.near.name, link.far.name
    link.close()
    listed = far.run("ip", "netns", "list").stdout
    assert not any(name in listed for name in names)
