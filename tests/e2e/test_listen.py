# SPDX-License-Identifier: ISC
"""Where it listens: wildcards, link-local and moving addresses, on a wire."""

import contextlib
import os
import secrets
import socket

import pytest

from dnsclient import (
    TIMEOUT, eventually, is_right, make_query, tcp, udp)
from far import Side, why_not
from programs import Daemon, Upstream, run

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

ADDRESSES = ("10.87.0.1", "10.87.0.2", "10.88.0.1", "fd87::1", "fd87::2")
LATER = ("10.87.0.9", "fd87::9")

SERVER = """
set -e
ip link set lo up
ip link add eth0 type veth peer name eth0 netns {client}
ip link add eth1 type veth peer name eth1 netns {client}
for i in 0 1; do ip link set eth$i up; done
ip address add 10.87.0.1/24 dev eth0
ip address add 10.87.0.2/24 dev eth0
ip address add 10.88.0.1/24 dev eth0
ip -6 address add fd87::1/64 dev eth0 nodad
ip -6 address add fd87::2/64 dev eth0 nodad
ip -6 address add fe80::1/64 dev eth0 nodad
ip -6 address add fe80::1/64 dev eth1 nodad
"""

CLIENT = """
set -e
ip link set lo up
for i in 0 1; do ip link set eth$i up; done
ip address add 10.87.0.100/24 dev eth0
ip address add 10.88.0.100/24 dev eth0
ip -6 address add fd87::100/64 dev eth0 nodad
ip -6 address add fe80::100/64 dev eth0 nodad
ip -6 address add fe80::100/64 dev eth1 nodad
"""


class Wire:
    """Two machines, client and server, and two wires between them."""

    def __init__(self, pki, folder):
        self.pki, self.folder = pki, folder
        with contextlib.ExitStack() as stack:
            word = secrets.token_hex(4)
            self.server, self.client = (
                Side("dp-%s-%s" % (end, word)) for end in ("srv", "cli"))
            stack.callback(self.client.close)
            stack.callback(self.server.close)
            self.server.shell(SERVER.format(client=self.client.name))
            self.client.shell(CLIENT)
            self.upstream = Upstream(pki, inside=self.server.inside)
            stack.callback(self.upstream.stop)
            self.daemon = Daemon(folder, self.server.inside)
            stack.callback(self.daemon.stop)
            self._stack = stack.pop_all()

    def configure(self, *listen, settings=""):
        self.daemon.configure(
            self.upstream, listen=[
                line.replace("PORT", "port %d" % self.daemon.port)
                for line in listen], settings=settings)

    def start(self, *listen, settings=""):
        self.configure(*listen, settings=settings)
        self.daemon.start()

    def close(self):
        self._stack.close()

    def ask(self, ask, host):
        """A query from the client, over a transport, for its answer."""
        query = make_query("n%s.test" % secrets.token_hex(4))
        address = host, self.daemon.port
        if ask is udp:      # Python drops the scope of a name here
            address = self.client.run(socket.getaddrinfo, *address)[0][4]
        answer = self.client.run(ask, address, query)
        return is_right(query, answer)

    def answers(self, ask, host):
        with contextlib.suppress(OSError):
            return self.ask(ask, host)
        return False


@pytest.fixture
def wire(pki, tmp_path):
    with contextlib.closing(Wire(pki, tmp_path)) as wire:
        yield wire


@pytest.mark.parametrize("ask", [udp, tcp])
def test_wildcards_answer_from_the_address_that_was_asked(wire, ask):
    """The client's socket is connected: from elsewhere it takes nothing."""
    wire.start("0.0.0.0 PORT", ":: PORT")
    for host in ADDRESSES:
        assert wire.ask(ask, host), host


def test_wildcard_of_ipv6_is_not_for_ipv4(wire):
    wire.start(":: PORT")
    assert wire.ask(tcp, ADDRESSES[-1])
    with pytest.raises(ConnectionRefusedError):
        wire.ask(tcp, ADDRESSES[0])
    with pytest.raises(ConnectionRefusedError):
        wire.ask(udp, ADDRESSES[0])


@pytest.mark.parametrize("ask", [udp, tcp])
@pytest.mark.parametrize("listen", ["fe80::1%eth1 PORT", ":: PORT"])
def test_link_local_address_is_answered_over_its_wire(wire, ask, listen):
    """Both wires have the same addresses: only the scope tells them apart."""
    wire.start(listen)
    assert wire.ask(ask, "fe80::1%eth1")
    if listen.startswith("::"):
        assert wire.ask(ask, "fe80::1%eth0")
    else:
        with pytest.raises(ConnectionRefusedError):
            wire.ask(ask, "fe80::1%eth0")


def test_link_local_address_prints_as_it_can_be_read_again(wire):
    wire.start("fe80::1%eth1 PORT")
    printed = wire.daemon.ctl("show", "config").stdout
    index = wire.server.run(socket.if_nametoindex, "eth1")
    assert "fe80::1%%%d " % index in printed
    wire.daemon.file.write_text(printed)
    os.chmod(wire.daemon.file, 0o600)
    wire.daemon.reload()
    assert wire.ask(udp, "fe80::1%eth1")


def move(wire, there):
    """The addresses come to the server, or leave it."""
    for host in LATER:
        wire.server.shell("ip address %s %s dev eth0 %s" % (
            "add" if there else "del",
            host + ("/64" if ":" in host else "/24"),
            "nodad" if there and ":" in host else ""))


def test_address_that_is_not_there_is_an_error(wire):
    for host in LATER:
        wire.configure("10.87.0.1 PORT", host + " PORT")
        done = run(*wire.daemon.command, "-d", "-f", str(wire.daemon.file))
        assert done.returncode != 0
        assert "cannot listen on" in done.stderr


def test_address_that_appears_later_is_served_from_then_on(wire):
    """And after it has left and come back, as with VRRP."""
    wire.start("10.87.0.1 PORT",
               *(host + " PORT freebind" for host in LATER))
    for _ in range(2):
        assert not any(wire.server.run(has_address, host) for host in LATER)
        move(wire, True)
        for host in LATER:
            for ask in udp, tcp:
                eventually(lambda h=host, a=ask: wire.answers(a, h),
                           3 * TIMEOUT, host)
        move(wire, False)
    assert wire.ask(udp, "10.87.0.1")


def test_reload_to_an_address_that_appears_later(wire):
    wire.start("10.87.0.1 PORT")
    wire.configure("10.87.0.1 PORT", *(host + " PORT" for host in LATER))
    assert wire.daemon.ctl("reload").returncode != 0
    wire.configure("10.87.0.1 PORT",
                   *(host + " PORT freebind" for host in LATER))
    wire.daemon.reload()
    assert " freebind\n" in wire.daemon.ctl("show", "config").stdout
    move(wire, True)
    for host in LATER:
        eventually(lambda h=host: wire.answers(udp, h), 3 * TIMEOUT, host)
    # It stays, whatever the line says now: the socket is the same.
    wire.configure("10.87.0.1 PORT", *(host + " PORT" for host in LATER))
    wire.daemon.reload()
    for host in LATER:
        assert wire.ask(tcp, host)


def has_address(host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((host, 0))
        except OSError:
            return False
    return True
