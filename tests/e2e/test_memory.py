# SPDX-License-Identifier: ISC
"""
What each process knows, read from its memory while it works: the pool no
client, the listener and the parent no TLS secret, the parent no query.
"""

import os
import pathlib
import socket
import subprocess
import time

import pytest

import programs
from dnsclient import Stream, eventually, is_right, make_query, udp, udp_socket
from netns import CANARY, Namespace

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root may look")

NAME = "canaryname"
SECRETS = "CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"


def memory(pid):
    """All that a process can write to."""
    pieces = []
    with open("/proc/%d/mem" % pid, "rb", buffering=0) as mem:
        for line in pathlib.Path("/proc/%d/maps" % pid).open():
            span, rights = line.split()[:2]
            if not rights.startswith("rw"):
                continue
            start, end = (int(x, 16) for x in span.split("-"))
            mem.seek(start)
            while start < end:
                data = mem.read(end - start)
                if not data:
                    break
                pieces.append(data)
                start += len(data)
    return b"\0".join(pieces)


def who_knows(memories, *needles):
    """The processes in whose memory one of them is."""
    return {role for role, text in memories.items()
            if any(needle in text for needle in needles)}


@pytest.fixture
def scene(pki, make_proxy, tmp_path):
    """The memories of all, with queries on their way, and the TLS secrets."""
    keylog = tmp_path / "keylog"

    def act():
        upstream = programs.Upstream(pki, keylog=keylog)
        proxy = make_proxy(upstream, listen=[
            "127.0.0.1 port %d" % 5300, "::1 port %d" % 5300])
        proxy.address, proxy.address6 = ("127.0.0.1", 5300), ("::1", 5300)
        for i in range(50):
            query = make_query("n%d.test" % i)
            assert is_right(query, udp(proxy.address6, query, source=CANARY))
        slow = make_query("delay-2000.%s.test" % NAME).to_wire()
        with udp_socket(proxy.address6, CANARY) as sock, \
                Stream(proxy.address) as stream:
            sock.send(slow)
            stream.send(slow)
            eventually(lambda: upstream.stats()["queries"] >= 52)  # and copies
            memories = {role: memory(pid)
                        for role, pid in proxy.children().items()}
            memories["parent"] = memory(proxy.process.pid)
        proxy.stop()
        upstream.stop()
        return memories

    namespace = Namespace()
    memories = namespace.run(act)
    namespace.close()
    lines = [line.split() for line in keylog.read_text().splitlines()]
    return memories, [bytes.fromhex(line[2]) for line in lines
                      if line[0] in SECRETS]


def test_each_process_knows_what_it_needs(scene):
    memories, secrets = scene
    client = socket.inet_pton(socket.AF_INET6, CANARY)
    assert who_knows(memories, client, CANARY.encode()) == {"listener"}
    assert secrets
    assert who_knows(memories, *secrets) == {"pool"}
    name = NAME.encode()
    assert who_knows(memories, name) == {"listener", "pool"}


def may_read(pid, what):
    """True if one of the same user as the children may."""
    done = subprocess.run(
        ["head", "-c", "1", "/proc/%d/%s" % (pid, what)], user="nobody",
        group=65534, extra_groups=[], capture_output=True)
    return done.stdout != b""


@pytest.mark.parametrize("role", ["listener", "pool"])
def test_nobody_of_the_same_user_can_look_inside(proxy, role):
    pid = proxy.child(role)
    for what in "maps", "mem", "environ", "auxv":
        assert not may_read(pid, what)
    limits = pathlib.Path("/proc/%d/limits" % pid).read_text()
    for name in "core file size", "processes", "file size":
        line, = [x for x in limits.splitlines() if x.startswith("Max " + name)]
        assert line[26:].split()[:2] == ["0", "0"], line


def test_others_of_that_user_can_be_looked_at():
    with subprocess.Popen(["sleep", "60"], user="nobody", group=65534,
                          extra_groups=[]) as other:
        time.sleep(0.1)
        seen = may_read(other.pid, "maps")
        other.kill()
    assert seen
