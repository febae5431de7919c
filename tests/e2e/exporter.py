# SPDX-License-Identifier: ISC
"""The exporter, and who speaks to it: HTTP by hand, and a parser of metrics."""

import http.client
import os
import re
import socket
import subprocess

from dnsclient import eventually
from programs import CTL, descendants, end_process, is_alive


class Exporter:
    """`dotproxyctl exporter` beside a daemon."""

    def __init__(self, folder, control, *args, user="nobody"):
        self.log_file = folder / "exporter.log"
        if "-l" not in args:
            args = ("-l", "127.0.0.1:0", *args)
        with open(self.log_file, "w") as log:
            self.process = subprocess.Popen(
                [CTL, "-s", str(control), *args, "-u", user, "exporter"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually(self._ready, what="exporter")
        self.addresses = re.findall(
            r"listening on http://\[?([^\]/]*?)\]?:(\d+)/", self.log())
        self.address = ((self.addresses[0][0], int(self.addresses[0][1]))
                        if self.addresses else None)

    def _ready(self):
        assert self.process.poll() is None, self.log()
        return "serving" in self.log()

    def log(self):
        return self.log_file.read_text()

    @property
    def reader(self):
        return self.process.pid

    @property
    def server(self):
        pids = descendants(self.process.pid)
        assert len(pids) == 1
        return pids[0]

    def get(self, path, method="GET", **headers):
        """(status, headers, body)"""
        return get(self.address, path, method, **headers)

    def metrics(self):
        status, _, body = self.get("/metrics")
        assert status == 200
        return parse(body.decode())

    def raw(self, data, end=False):
        """All that comes back for these bytes."""
        with socket.create_connection(self.address, 20) as sock:
            sock.sendall(data)
            if end:
                sock.shutdown(socket.SHUT_WR)
            return read_all(sock)

    def stop(self):
        trouble = self.process.poll()
        server = descendants(self.process.pid)
        self.process.terminate()
        self.process.wait(10)
        eventually(lambda: not any(map(is_alive, server)),
                   what="end of the exporter")
        assert trouble is None, self.log()
        assert "Sanitizer" not in self.log(), self.log()


def get(address, path, method="GET", **headers):
    host, port = address
    connection = http.client.HTTPConnection(host, port, timeout=20)
    try:
        headers = {key.replace("_", "-"): value
                   for key, value in headers.items()}
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def read_all(sock):
    data = b""
    while True:
        try:
            piece = sock.recv(65536)
        except ConnectionResetError:
            return data
        if not piece:
            return data
        data += piece


SAMPLE = re.compile(r'([a-z_]+)(?:\{(.*)\})? ([0-9.]+)$')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"(?:,|$)')


class Metrics(dict):
    """{(name, labels): value}, labels being a frozenset of pairs."""

    def value(self, name, **labels):
        return self[name, frozenset(labels.items())]

    def names(self):
        return {name for name, _ in self}

    def labels(self, name):
        return [dict(labels) for n, labels in self if n == name]


def parse(text):
    found = Metrics()
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = SAMPLE.match(line)
        assert match, line
        name, labels, value = match.groups()
        pairs = LABEL.findall(labels or "")
        assert LABEL.sub("", labels or "") == "", line
        key = name, frozenset(pairs)
        assert key not in found, line
        found[key] = float(value)
    return found
