# SPDX-License-Identifier: ISC
"""
A far link: two network namespaces with a long wire between (farlink.c).  Who
asks and the forwarders are at the near end, the upstreams at the far one, each
at an address of its own.  For the tests and the benches.
"""

import concurrent.futures
import contextlib
import ctypes
import json
import os
import secrets
import subprocess

from programs import BUILD, Upstream, free_port, load_command, run

CLONE_NEWNET = 0x40000000
FARLINK = str(BUILD / "tests/farlink")
DELAY_MS = 5.65     # one way
DEVICE = "far0"
NEAR, FAR = "10.86.1.%d", "10.86.2.%d"
HOSTS = 20

SETUP = """
set -e
ip link set lo up
for address in %s; do
	ip address add $address/16 dev far0
done
echo 1 >/proc/sys/net/ipv6/conf/far0/disable_ipv6
ip link set far0 txqueuelen 10000
ip link set far0 up
echo 3 >/proc/sys/net/ipv4/tcp_fastopen
echo 0 >/proc/sys/net/ipv4/tcp_fastopen_blackhole_timeout_sec
"""


def why_not():
    """Why there can be no far link here; None if there can."""
    if os.geteuid() != 0:
        return "needs root, for network namespaces"
    if not os.path.exists("/dev/net/tun"):
        return "no /dev/net/tun"
    name = "dp-try-" + secrets.token_hex(4)
    done = run("ip", "netns", "add", name)
    if done.returncode != 0:
        return "no network namespaces: " + done.stderr.strip()
    run("ip", "netns", "del", name)
    return None


class Side:
    """One end: a namespace, with a thread in it to make sockets there."""

    def __init__(self, name):
        self.name = name
        run("ip", "netns", "add", name, check=True)
        self.inside = ("nsenter", "--net=/run/netns/" + name)
        self._threads = concurrent.futures.ThreadPoolExecutor(1)
        self.run(self._enter)

    def _enter(self):
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/run/netns/" + self.name) as file:
            if libc.setns(file.fileno(), CLONE_NEWNET) == -1:
                raise OSError(ctypes.get_errno(), "setns")

    def run(self, function, *args, **kw):
        """Calls a function there; returns what it returns."""
        return self._threads.submit(function, *args, **kw).result()

    def shell(self, script):
        """Runs a script there."""
        done = run(*self.inside, "sh", "-c", script)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self):
        self._threads.shutdown()
        run("ip", "netns", "del", self.name)


class FarLink:
    """The wire; whatever command farlink.c knows is a method of this."""

    def __init__(self, pki, delay_ms=DELAY_MS):
        self.pki = pki
        self._hosts = 0
        with contextlib.ExitStack() as stack:
            word = secrets.token_hex(4)
            self.near, self.far = (
                self._side(stack, "dp-%s-%s" % (end, word))
                for end in ("near", "far"))
            self.process = subprocess.Popen(
                [FARLINK, DEVICE, self.near.name, self.far.name],
                text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            stack.callback(self._end)
            assert self.process.stdout.readline() == "ready\n"
            for side, pattern in (self.near, NEAR), (self.far, FAR):
                hosts = (pattern % i for i in range(1, HOSTS + 1))
                side.shell(SETUP % " ".join(hosts))
            self.command("delay", delay_ms)
            self._stack = stack.pop_all()

    @staticmethod
    def _side(stack, name):
        side = Side(name)
        stack.callback(side.close)
        return side

    def _end(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()

    def close(self):
        self._stack.close()

    def command(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer not in ("error", ""), (words, answer)
        return answer

    def cut(self):
        self.command("cut")

    def mend(self):
        self.command("mend")

    def stats(self):
        """What each end has sent, by kind, since zero()."""
        return json.loads(self.command("stats"))

    def zero(self):
        self.command("zero")

    def host(self):
        """Another address at the far end."""
        self._hosts += 1
        assert self._hosts <= HOSTS
        return FAR % self._hosts

    def upstream(self, *knobs, **kw):
        """An upstream there, which ends with the link."""
        address = kw.pop("address", None) or self.host()
        port = kw.pop("port", 0) or free_port()
        upstream = Upstream(self.pki, *knobs, address=address, port=port,
                            inside=self.far.inside, **kw)
        self._stack.callback(upstream.stop)
        return upstream

    def load_command(self, address, *args):
        return [*self.near.inside, *load_command(address, *args)]


class Load:
    """The load generator at the near end, beside what a test does."""

    def __init__(self, link, address, trace, *args):
        self.trace = trace
        self.process = subprocess.Popen(
            link.load_command(address, "-o", str(trace), *args), text=True,
            stdout=subprocess.PIPE)

    def result(self, timeout=120):
        """Waits for its end; its counts, and each query."""
        output, _ = self.process.communicate(timeout=timeout)
        return json.loads(output), Trace(self.trace)

    def stop(self):
        self.process.kill()
        self.process.communicate()


class Trace:
    """What the load generator saw of each query, in the order of answers."""

    def __init__(self, path):
        self.lines = []
        with open(path) as file:
            for due, took, what in map(str.split, file):
                self.lines.append((int(due) / 1e9, int(took) / 1e9, what))

    def count(self, what):
        return sum(1 for line in self.lines if line[2] == what)

    def first_answer(self, since):
        """Seconds from a time (monotonic) to the first answer after it."""
        ends = [due + took for due, took, what in self.lines
                if what == "answered" and due + took > since]
        return min(ends) - since if ends else float("inf")

    def slowest(self):
        """The longest a client waited for anything, in seconds."""
        return max(took for _, took, _ in self.lines)
