# SPDX-License-Identifier: ISC
"""
A daemon that lies to dotproxyctl and the exporter.  A relay stands between them
and a real one and changes what it says: so all but the lie is as it should be.
"""

import json
import random
import re
import select
import socket
import struct
import threading

import pytest

import exporter
import programs
from dnsclient import eventually
from programs import CTL, run

HEADER = struct.Struct("!HHIQ")
NAME = "n" * 40
LIES = [
    "\x1b]0;owned\x07\x1b[2J\x1b[31m",
    "<img src=x onerror=alert(1)>",
    '"} 1\ndotproxy_up{a="b',
    "'\\\\\"\\n\n# EOF\n",
    "a,b=c|d:1|c|#e\n@0.1",
    "\r\nSet-Cookie: a=b\r\n\r\n",
    "\x9b2J\u202e\u0085%s%n${jndi:x}",
]
VIEWS = ("summary", "all", "pool", "latency", "stats", "processes", "pins")


class Relay(threading.Thread):
    """Passes requests on, and answers through self.change(type, payload)."""

    def __init__(self, path, daemon):
        super().__init__(daemon=True)
        self.path, self.daemon_path = path, str(daemon)
        self.change = lambda kind, payload: payload
        self.endless = None     # a message of this type is sent for ever
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(str(path))
        self.sock.listen(64)
        self.start()

    def run(self):
        while True:
            try:
                client, _ = self.sock.accept()
            except OSError:
                return
            with client:
                try:
                    self.relay(client)
                except OSError:
                    pass    # who was lied to has gone

    def relay(self, client):
        with socket.socket(socket.AF_UNIX) as server:
            server.connect(self.daemon_path)
            buffered = b""
            while True:
                ready, _, _ = select.select([client, server], [], [], 10)
                if client in ready:
                    request = client.recv(4096)
                    if not request:
                        return
                    server.sendall(request)
                if server in ready:
                    piece = server.recv(65536)
                    if not piece:
                        return
                    buffered = self.lie(client, buffered + piece)

    def lie(self, client, data):
        """Passes on all whole messages; returns what is left."""
        while len(data) >= HEADER.size:
            kind, flags, length, ident = HEADER.unpack_from(data)
            end = HEADER.size + length
            if len(data) < end:
                break
            payload = self.change(kind, data[HEADER.size:end])
            message = HEADER.pack(kind, flags, len(payload), ident) + payload
            client.sendall(message)
            while self.endless == kind:
                client.sendall(message * 64)
            data = data[end:]
        return data

    def close(self):
        self.sock.close()


@pytest.fixture
def liar(tmp_path, make_proxy, upstream):
    proxy = make_proxy(upstream.block(NAME))
    assert programs.is_flawless(programs.load(proxy.address, "-n", "20"))
    relay = Relay(tmp_path / "liar", proxy.socket)
    yield relay
    relay.close()


@pytest.fixture
def exported(tmp_path, liar):
    one = exporter.Exporter(tmp_path, liar.path)
    yield one
    one.stop()


def lie_about_the_name(text):
    data = text.encode()[:len(NAME)].ljust(len(NAME), b"x")
    return lambda kind, payload: payload.replace(NAME.encode(), data)


def show(liar, view, *args):
    return run(CTL, "-s", str(liar.path), *args, "show", view)


def check_text(text):
    """Nothing that a terminal obeys."""
    assert re.fullmatch(r"[\x20-\x7e\n]*", text), repr(text)


def check_documents(exported, name=None):
    """Both are well-formed; True if the daemon was believed."""
    status, headers, body = exported.get("/metrics")
    assert status == 200 and "Set-Cookie" not in headers
    text = body.decode("ascii")
    found = exporter.parse(text)
    status, _, state = exported.get("/api/state")
    assert status == 200
    json.loads(state.decode("ascii"))
    if found.value("dotproxy_up") == 1 and name is not None:
        labels = found.labels("dotproxy_upstream_info")
        assert len(labels) == 1 and len(labels[0]["upstream"]) >= len(NAME)
    return found.value("dotproxy_up") == 1, text


@pytest.mark.parametrize("lie", LIES, ids=range(len(LIES)))
def test_names_of_a_liar_are_text(liar, exported, lie):
    liar.change = lie_about_the_name(lie)
    for view in VIEWS:
        done = show(liar, view)
        check_text(done.stdout + done.stderr)
        done = show(liar, view, "-j")
        check_text(done.stdout + done.stderr)
        json.loads(done.stdout)
    believed, text = check_documents(exported, lie)
    assert believed
    done = run("promtool", "check", "metrics", input=text)
    assert (done.returncode, done.stderr) == (0, "")


def flip(rng, payload):
    """One to three changes, of bits, or of numbers to the largest ones."""
    data = bytearray(payload)
    for _ in range(rng.randint(1, 3) if data else 0):
        at = rng.randrange(len(data))
        width = rng.choice((1, 1, 4, 8))
        value = rng.choice((b"\xff" * width, bytes(width),
                            b"\x7f" + b"\xff" * (width - 1),
                            bytes([rng.randrange(256)])))
        data[at:at + len(value)] = value[:len(data) - at]
    return bytes(data)


@pytest.mark.parametrize("seed", range(6))
def test_wrong_numbers_end_nothing(liar, exported, seed):
    rng = random.Random(seed)
    some = rng.choice((0.02, 0.1, 0.5))
    liar.change = lambda kind, payload: (
        flip(rng, payload) if rng.random() < some else payload)
    believed = 0
    for _ in range(20):
        believed += check_documents(exported)[0]
        view = rng.choice(VIEWS)
        for args in (), ("-j",):
            done = show(liar, view, *args)
            assert done.returncode in (0, 1), done
            check_text(done.stdout + done.stderr)
            assert "Sanitizer" not in done.stderr
            if args:
                json.loads(done.stdout)
    assert exported.process.poll() is None
    assert believed or some > 0.02


def resident_kib(pid):
    with open("/proc/%d/status" % pid) as status:
        return int(re.search(r"VmHWM:\s+(\d+)", status.read()).group(1))


def kinds(liar):
    """The types of message of "show all", which the relay sees."""
    seen = []
    liar.change = lambda kind, payload: (seen.append(kind), payload)[1]
    assert show(liar, "all").returncode == 0
    liar.change = lambda kind, payload: payload
    return sorted(set(seen))


def test_endless_answers_end_and_take_no_memory(liar, exported):
    """Some of the messages that there are, each again and again."""
    for kind in kinds(liar)[:-1:4]:
        liar.endless = kind
        assert not check_documents(exported)[0]
        liar.endless = None
    if not programs.SANITIZED:
        assert resident_kib(exported.reader) < 64 * 1024
        assert resident_kib(exported.server) < 64 * 1024
    eventually(lambda: check_documents(exported)[0], what="the truth")
