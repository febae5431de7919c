# SPDX-License-Identifier: ISC
"""Two gateways with keepalived: what clients see when one of them goes."""

import concurrent.futures
import contextlib
import json
import subprocess
import time

import pytest

import far
import gateways
from dnsclient import eventually
from programs import LOAD, Upstream

pytestmark = pytest.mark.skipif(gateways.why_not() is not None,
                                reason=str(gateways.why_not()))

RATE = 200


class Pair:
    """Gateways A and B, of which A has the address."""

    def __init__(self, folder, pki):
        self._stack = contextlib.ExitStack()
        with self._stack:
            self.network = gateways.Network()
            self._stack.callback(self.network.close)
            sides = self.network.sides
            upstream = Upstream(
                pki, address=gateways.ADDRESSES["up"], port=853,
                inside=sides["up"].inside)
            self._stack.callback(upstream.stop)
            self.a, self.b = (
                gateways.Gateway(folder / name, sides[name], priority)
                for name, priority in (("a", 254), ("b", 250)))
            for gateway in self.a, self.b:
                gateway.configure(upstream)
                self._stack.callback(gateway.stop)
                gateway.start()
            self.settle(self.a, self.b)
            self.trace = folder / "trace"
            self.client = sides["client"]
            self._stack = self._stack.pop_all()

    @staticmethod
    def settle(has, has_not):
        eventually(lambda: has.has_address() and not has_not.has_address(),
                   seconds=30, what="owner of the address")

    def close(self):
        self._stack.close()

    @contextlib.contextmanager
    def clients(self, seconds):
        """Ask meanwhile; afterwards it holds what became of that."""
        report = {}
        load = subprocess.Popen(
            [*self.client.inside, LOAD, "-j", "-s", gateways.SHARED,
             "-p", "53", "-r", str(RATE), "-T", str(seconds), "-w", "1",
             "-q", "1000", "-o", str(self.trace)], text=True, stdout=subprocess.PIPE)
        with concurrent.futures.ThreadPoolExecutor(1) as threads:
            stub = threads.submit(
                self.client.run, gateways.stub, (gateways.SHARED, 53), 50,
                seconds)
            try:
                time.sleep(2)
                yield report
                output, _ = load.communicate(timeout=seconds + 30)
            finally:
                load.kill()
                load.wait()
            report["stub"] = stub.result(30)
        counts = json.loads(output)
        trace = far.Trace(self.trace)
        answered = sorted(due for due, _, what in trace.lines
                          if what == "answered")
        report.update(
            sent=counts["sent"], wrong=counts["wrong"],
            lost=counts["sent"] - counts["answered"],
            gap=max(b - a for a, b in zip(answered, answered[1:])))
        print(report)


@pytest.fixture
def pair(tmp_path, pki):
    with contextlib.closing(Pair(tmp_path, pki)) as pair:
        yield pair


def check(report):
    """Nobody is told anything wrong, and who asks again is answered."""
    assert report["wrong"] == 0, report
    assert report["stub"]["failed"] == 0, report
    assert report["sent"] > 1000, report
    assert report["gap"] < 10, report       # some three, if not busy


def test_killed_daemon(pair):
    with pair.clients(14) as report:
        pair.a.kill_daemon()
        pair.settle(pair.b, pair.a)
    check(report)
    assert report["lost"] > 0       # or it was not the one that answered


def test_dead_machine(pair):
    with pair.clients(14) as report:
        pair.network.cut("a")       # nothing of it gets out from now on
        pair.a.kill()
        eventually(pair.b.has_address, seconds=30, what="takeover")
    check(report)
    assert report["lost"] > 0


def test_cut_link_and_return(pair):
    with pair.clients(24) as report:
        pair.network.cut("a")
        eventually(pair.b.has_address, seconds=30, what="takeover")
        time.sleep(2)
        pair.network.mend("a")
        pair.settle(pair.a, pair.b)
    check(report)
    assert report["lost"] > 0


def test_drain_loses_nothing(pair):
    with pair.clients(22) as report:
        assert pair.a.daemon.ctl("drain").returncode == 0
        pair.settle(pair.b, pair.a)
        time.sleep(1)
        assert pair.a.daemon.ctl("drain", "off").returncode == 0
        pair.settle(pair.a, pair.b)
    check(report)
    assert report["lost"] == 0, report
