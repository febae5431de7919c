# SPDX-License-Identifier: ISC
"""
Two gateways with one address, for tests: four network namespaces on a bridge,
keepalived with the file of etc/keepalived in two of them, and clients that ask
as stub resolvers do.
"""

import contextlib
import os
import re
import secrets
import select
import socket
import subprocess
import time

import dns.exception
import dns.message

import far
from dnsclient import eventually, is_right, make_query
from programs import (CTL, Daemon, ROOT, descendants, end_process, is_alive,
                      run)

EXAMPLE = ROOT / "etc/keepalived/keepalived.conf"
KEEPALIVED = "/usr/sbin/keepalived"
SHARED = "192.168.1.53"
ADDRESSES = {"client": "192.168.1.9", "up": "192.168.1.8",
             "a": "192.168.1.1", "b": "192.168.1.2"}

PLUG = """
set -e
ip link set lo up
ip link add lan0 type veth peer name %(port)s netns %(switch)s
echo 1 >/proc/sys/net/ipv6/conf/lan0/disable_ipv6
ip address add %(address)s/24 dev lan0
ip link set lan0 up
"""


def why_not():
    """Why this cannot be had here; None if it can."""
    if os.geteuid() != 0:
        return "needs root, for network namespaces"
    if not os.path.exists(KEEPALIVED):
        return "keepalived is not installed"
    done = run("unshare", "-n", "sh", "-c", "ip link add dp0 type veth "
               "&& ip link add br0 type bridge")
    return done.stderr.strip() or None


class Network:
    """A switch, and whoever is named in ADDRESSES plugged into it."""

    def __init__(self):
        self._stack = contextlib.ExitStack()
        word = secrets.token_hex(4)
        with self._stack:
            self.switch = self._side("dp-sw-" + word)
            self.switch.shell("ip link add br0 type bridge\n"
                              "ip link set br0 up")
            self.sides = {name: self._plug(name, address, word)
                          for name, address in ADDRESSES.items()}
            self._stack = self._stack.pop_all()

    def _side(self, name):
        side = far.Side(name)
        self._stack.callback(side.close)
        return side

    def _plug(self, name, address, word):
        side = self._side("dp-%s-%s" % (name, word))
        port = "p-" + name
        side.shell(PLUG % {"port": port, "switch": self.switch.name,
                           "address": address})
        self.switch.shell("ip link set %s master br0 up" % port)
        return side

    def cut(self, name):
        self.switch.shell("ip link set p-%s down" % name)

    def mend(self, name):
        self.switch.shell("ip link set p-%s up" % name)

    def close(self):
        self._stack.close()


class Gateway:
    """dotproxy and keepalived in one of the namespaces."""

    def __init__(self, folder, side, priority, change=lambda text: text):
        folder.mkdir()
        self.side = side
        self.folder = folder
        self.daemon = Daemon(folder, side.inside)
        self.change = change
        self.priority = priority
        self.process = None
        text = (ROOT / "docs/DEPLOYMENT.md").read_text()
        file = folder / "sysctl"
        file.write_text(re.search("```sysctl\n(.*?)```", text, re.S).group(1))
        side.shell("/sbin/sysctl -q -p %s" % file)

    def configure(self, upstream):
        self.daemon.configure(upstream, listen=[SHARED + " freebind"],
                              settings="allow { 192.168.1.0/24 }")

    def start(self):
        self.daemon.start()
        # Anybody may write to /tmp, where both programs are.
        text = EXAMPLE.read_text().replace("enable_script_security", "")
        text, found = re.subn("/usr/bin/dotproxyctl",
                              "%s -s %s" % (CTL, self.daemon.socket), text)
        assert found == 2
        text = text.replace("priority 254", "priority %d" % self.priority)
        file = self.folder / "keepalived.conf"
        file.write_text(self.change(text))
        with open(self.folder / "keepalived.log", "a") as log:
            self.process = subprocess.Popen(
                [*self.side.inside, KEEPALIVED, "-n", "-l", "-D", "-P",
                 "-f", str(file), "-p", str(self.folder / "pid"),
                 "-r", str(self.folder / "vrrp.pid")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def has_address(self):
        shown = run(*self.side.inside, "ip", "-o", "address", "show",
                    "dev", "lan0").stdout
        return " %s/" % SHARED in shown

    def log(self):
        return (self.folder / "keepalived.log").read_text()

    def kill_daemon(self):
        """All of it at once, as the kernel does when memory is short."""
        pids = self.daemon.pids()
        for pid in pids:
            end_process(pid)
        self.daemon.process.wait()
        self.daemon.process = None
        eventually(lambda: not any(map(is_alive, pids)), what="end")

    def kill(self):
        """As the machine would end: nobody says goodbye."""
        if self.process is not None:
            below = descendants(self.process.pid)
            for pid in (self.process.pid, *below):
                end_process(pid)
            self.process.wait()
            self.process = None
        if self.daemon.process is not None:
            self.kill_daemon()

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10)
            finally:
                self.kill()
        self.daemon.stop()


def stub(address, rate, seconds, wait=1, tries=5):
    """
    Asks at a rate as a stub resolver does: again, the same, if there is no
    answer for a while.  Returns how many names it got no address for.
    """
    begin = time.monotonic()
    open_, asked, failed, done = {}, 0, 0, 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        while True:
            now = time.monotonic()
            due = begin + asked / rate
            if due - begin < seconds and due <= now:
                query = make_query("s%d.stub.test" % asked)
                query.id = asked
                open_[asked] = [query, 0, 0]
                asked += 1
            for key, entry in list(open_.items()):
                if entry[2] > now:
                    continue
                if entry[1] == tries:
                    failed += 1
                    del open_[key]
                    continue
                entry[1] += 1
                entry[2] = now + wait
                with contextlib.suppress(OSError):  # nobody has the address
                    sock.sendto(entry[0].to_wire(), address)
            if due - begin >= seconds and not open_:
                return {"asked": asked, "answered": done, "failed": failed}
            if not select.select([sock], [], [], 0.005)[0]:
                continue
            with contextlib.suppress(OSError, dns.exception.DNSException):
                answer = dns.message.from_wire(sock.recv(4096))
                entry = open_.get(answer.id)
                if entry and is_right(entry[0], answer):
                    del open_[answer.id]
                    done += 1
