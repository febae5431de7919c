# SPDX-License-Identifier: ISC
"""tests/soak: a short run of it, and whether its clients notice."""

import contextlib
import os
import selectors
import socket
import sys
import threading
import time

import pytest

from programs import BUILD, ROOT, SANITIZED, run

sys.path.append(str(ROOT / "tests/soak"))

import clients  # noqa: E402


@pytest.mark.skipif(SANITIZED, reason="sanitizers keep memory, and are slow")
def test_half_a_minute_of_kills_reloads_and_faults():
    done = run("/usr/bin/python3", "-B", str(ROOT / "tests/soak/soak.py"),
               "-m", "0.4", "-s", "1", "-k", "5", timeout=240,
               env={**os.environ, "DOTPROXY_BUILD": str(BUILD)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all invariants hold" in done.stdout


class Relay(threading.Thread):
    """Between one stub and the daemon; makes what it likes of an answer."""

    def __init__(self, address, change):
        super().__init__()
        self.change = change
        self.front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.front.bind(("127.0.0.1", 0))
        self.back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.back.connect(address)
        self.ended = False
        self.start()

    def run(self):
        selector, seen, client = selectors.DefaultSelector(), {}, None
        for sock in self.front, self.back:
            selector.register(sock, selectors.EVENT_READ)
        while not self.ended:
            for key, _ in selector.select(0.1):
                data, sender = key.fileobj.recvfrom(65535)
                if key.fileobj is self.front:
                    client = sender
                    self.back.send(data)
                    continue
                number = seen[data[:2]] = seen.get(data[:2], 0) + 1
                for answer in self.change(data, number):
                    self.front.sendto(answer, client)

    def close(self):
        self.ended = True
        self.join()
        self.front.close()
        self.back.close()


CHANGES = {
    "none": lambda data, number: [data],
    "double": lambda data, number: [data, data],
    "wrong": lambda data, number: [data[:-1] + bytes([data[-1] ^ 1])],
    "another's": lambda data, number: [bytes([data[0] ^ 1]) + data[1:]],
    "servfail": lambda data, number: [
        data[:2] + b"\x81\x82\0\1\0\0\0\0\0\0"
        + data[12:data.index(b"\0", 12) + 5]],
    "resent": lambda data, number: [data] if number > 1 else [],
    "missing": lambda data, number: [],
}
# Who has a wrong answer still waits for its own.
NOTICED = {"none": set(), "wrong": {"wrong", "missing", "resent"},
           "another's": {"wrong", "missing", "resent"},
           "missing": {"missing", "resent"}}


@pytest.mark.parametrize("change", CHANGES)
def test_clients_notice(proxy, monkeypatch, change):
    monkeypatch.setattr(clients, "RESEND_S", 1)
    with contextlib.closing(
            Relay(proxy.address, CHANGES[change])) as relay:
        asking = clients.Clients(relay.front.getsockname(), 1, stubs=1,
                                 streams=0, rate=20)
        asking.start()
        time.sleep(1)
        account = asking.finish()
    found = {name for name in ("wrong", "double", "servfail", "missing",
                               "resent", "refused") if getattr(account, name)}
    assert account.queries > 0
    assert found == NOTICED.get(change, {change}), vars(account)
