# SPDX-License-Identifier: ISC
"""Servers for metrics: a socket that keeps all, and Etsy's statsd."""

import ctypes
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

from dnsclient import eventually
from programs import free_port

FOLDER = pathlib.Path("/opt/dotproxy-tests/node_modules/statsd")
WHY_NOT = (None if FOLDER.is_dir() and shutil.which("node") else
           "the npm package statsd is not there: see tests/support/deps.sh")

VALUE = re.compile(r"[^:]*:([0-9.]+)\|(c|g|ms)(?:\|@([0-9.]+))?(?:\|#.*)?")
# A flush takes no longer than this; they are a second apart.
PAUSE = 0.5


class Sink:
    """All that comes to a UDP port, over IPv4 and IPv6."""

    def __init__(self, port=0):
        self.sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.sock.bind(("::", port or free_port()))
        self.port = self.sock.getsockname()[1]
        self.sock.settimeout(0.1)
        self.datagrams, self.times = [], []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def read(self):
        """Takes what has come; waits a moment for more."""
        try:
            while True:
                self.datagrams.append(self.sock.recv(65535).decode())
                self.times.append(time.monotonic())
        except socket.timeout:
            pass

    def until(self, done, seconds=30):
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end, self.lines[-50:]
            self.read()

    def quiet(self):
        """Takes the rest of a flush."""
        self.read()
        while self.times and time.monotonic() - self.times[-1] < PAUSE:
            self.read()

    def flushes(self):
        """The text of each flush."""
        found, last = [], None
        for at, text in zip(self.times, self.datagrams):
            if last is None or at - last > PAUSE:
                found.append("")
            found[-1] += text
            last = at
        return found

    @property
    def sizes(self):
        return [len(text) for text in self.datagrams]

    @property
    def lines(self):
        return "".join(self.datagrams).splitlines()

    def of(self, name, *tags):
        """The lines of a metric that have these tags."""
        return [line for line in self.lines
                if re.match(r"dotproxy\.%s[,:]" % re.escape(name), line)
                and all(tag in line for tag in tags)]

    def total(self, name, *tags):
        """What a server makes of it: the sum, or how many times there are."""
        total = 0
        for line in self.of(name, *tags):
            value, kind, rate = VALUE.fullmatch(line).groups()
            total += (float(value) if kind == "c" else 1) / float(rate or 1)
        return total

    def gauge(self, name, *tags):
        return float(VALUE.fullmatch(self.of(name, *tags)[-1]).group(1))


class Server:
    """Etsy's statsd, asked over its administration port."""

    def __init__(self, folder):
        self.port, self.admin = free_port(), free_port()
        self.config = folder / "statsd.js"
        # It must not flush: then it forgets.
        self.config.write_text(
            "{port: %d, mgmt_port: %d, address: '127.0.0.1',"
            " mgmt_address: '127.0.0.1', flushInterval: 3600000,"
            " backends: []}" % (self.port, self.admin))
        self.log = open(folder / "statsd.log", "w+")

    def __enter__(self):
        self.process = subprocess.Popen(
            ["node", str(FOLDER / "stats.js"), str(self.config)],
            stdout=self.log, stderr=self.log)
        eventually(self._ready, seconds=30, what="statsd")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()

    def _ready(self):
        try:
            return self._ask("health").startswith("health: up")
        except OSError:
            return False

    def _ask(self, command):
        with socket.create_connection(("127.0.0.1", self.admin), 5) as sock:
            sock.sendall(command.encode() + b"\n")
            text = b""
            while b"END\n" not in text and not (
                    command == "health" and b"\n" in text):
                more = sock.recv(65536)
                if not more:
                    break
                text += more
        return text.decode()

    def _table(self, name):
        text = self._ask(name).partition("END")[0]
        # It prints what it has as JavaScript.
        done = subprocess.run(
            ["node", "-e", "console.log(JSON.stringify(eval('(' + "
             "require('fs').readFileSync(0) + ')')))"],
            input=text, text=True, capture_output=True, check=True)
        return json.loads(done.stdout)

    def counters(self):
        return self._table("counters")

    def gauges(self):
        return self._table("gauges")

    def timers(self):
        return self._table("timers")


def _copy_of(pid, fd):
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.pidfd_open(pid)
    try:
        return libc.syscall(438, handle, fd, 0)     # pidfd_getfd
    finally:
        os.close(handle)


def sockets_to(pid, peer):
    """The devices of a process's UDP sockets that are connected to peer."""
    found = []
    for name in os.listdir("/proc/%d/fd" % pid):
        if not os.readlink("/proc/%d/fd/%s" % (pid, name)).startswith(
                "socket:"):
            continue
        fd = _copy_of(pid, int(name))
        if fd < 0:
            continue
        with socket.socket(fileno=fd) as sock:
            try:
                if (sock.type != socket.SOCK_DGRAM
                        or sock.getpeername()[:2] != peer):
                    continue
            except OSError:
                continue
            device = sock.getsockopt(
                socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
            found.append(device.rstrip(b"\0").decode())
    return found
