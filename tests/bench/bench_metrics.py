#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""
What metrics cost: dotproxy without any beside itself with statsd, flushed each
second to a sink on this machine, with the exporter scraped each second, and
with both.  One build; the forwarder has one core, all else the other.  In every
round each variant is started anew; the order changes with the round.  Prints,
of each load and variant, what became of the queries, the median CPU time a
query in the daemon, and the median over the rounds of its difference from that
without metrics in the same round.
"""

import argparse
import contextlib
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import bench
import loads
import peers
import process

OFF = "off"
VARIANTS = {  # sample rate of statsd, if it is on; is there an exporter
    OFF: (None, False),
    "statsd 0.01": ("0.01", False),
    "statsd 1": ("1", False),
    "exporter": (None, True),
    "all": ("1", True),
}


def options():
    parse = argparse.ArgumentParser(description="Measure what metrics cost.")
    parse.add_argument("-b", "--build", type=pathlib.Path,
                       default=os.environ.get("DOTPROXY_BUILD",
                                              bench.ROOT / "build"))
    parse.add_argument("-l", "--loads", default="q400,r10000")
    parse.add_argument("-r", "--rounds", type=int, default=5)
    parse.add_argument("-s", "--seconds", type=float, default=3)
    opt = parse.parse_args()
    opt.build = pathlib.Path(opt.build).resolve()
    opt.loads = opt.loads.split(",")
    if not all(map(loads.is_valid, opt.loads)) or opt.rounds < 1:
        parse.error("nothing to do")
    return opt


class Sink(threading.Thread):
    """A server for statsd that counts the datagrams."""

    def __init__(self):
        super().__init__(daemon=True)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.count = 0
        self.start()

    def run(self):
        while True:
            self.sock.recv(9000)
            self.count += 1


class Scraper(threading.Thread):
    """Reads /metrics each second."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.count, self.end = url, 0, threading.Event()
        self.start()

    def run(self):
        while not self.end.is_set():
            with urllib.request.urlopen(self.url, timeout=5) as answer:
                assert b"dotproxy_up 1\n" in answer.read()
            self.count += 1
            self.end.wait(1)


@contextlib.contextmanager
def scraped(folder, build, core):
    """An exporter, and who reads it."""
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    child = process.start(
        [str(build / "bin/dotproxyctl"), "-s", str(folder / "run/control"),
         *user, "-l", "127.0.0.1:0", "exporter"], core,
        stderr=subprocess.PIPE, text=True)
    try:
        url = re.search(r"http://\S+/", child.stderr.readline()).group()
        scraper = Scraper(url + "metrics")
        yield child, scraper
        scraper.end.set()
        scraper.join()
    finally:
        process.stop(child)


class Bench(bench.Bench):
    def __init__(self, opt, folder):
        super().__init__(opt, folder)
        self.sink = Sink()
        self.spent_ns = self.scrapes = 0

    def forwarder(self, rate):
        line = "" if rate is None else (
            "metrics statsd 127.0.0.1 port %d flush interval 1s"
            " sample rate %s\n" % (self.sink.port, rate))
        return peers.Forwarder(
            "dotproxy", None, line + peers.DOTPROXY,
            "{build}/sbin/dotproxy", "-d", "-f", "{file}")

    def loads(self, child, port):
        loads.run("q20", port, 0.5, self.client_core, self.opt.build,
                  self.folder)
        return {load: self.measure(child, port, load)
                for load in self.opt.loads}

    def variant(self, name):
        """{load: result}"""
        rate, exported = VARIANTS[name]
        datagrams = self.sink.count
        with bench.running(self.forwarder(rate), self) as (child, port):
            if not exported:
                result = self.loads(child, port)
            else:
                with scraped(self.folder, self.opt.build,
                             self.client_core) as (exporter, scraper):
                    before = process.cpu_ns(exporter.pid)
                    result = self.loads(child, port)
                    self.spent_ns += process.cpu_between(
                        before, process.cpu_ns(exporter.pid))
                self.scrapes += scraper.count
            if rate is not None:
                process.eventually(lambda: self.sink.count > datagrams,
                                   "metrics to arrive")
        return result


def show(results, b, out):
    for load in b.opt.loads:
        print("\n%s\n%-12s %10s %10s %6s %6s %8s %8s %9s" % (
            loads.describe(load), "", "sent", "right", "wrong", "lost", "qps",
            "µs/query", "to off"), file=out)
        off = [one["cpu_us"] for one in results[OFF, load]]
        for name in VARIANTS:
            runs = results[name, load]
            cpu = [one["cpu_us"] for one in runs]
            delta = [100 * (a / z - 1) for a, z in zip(cpu, off)]
            print("%-12s %10d %10d %6d %6d %8d %8.3f %+8.1f %%" % (
                name, sum(one["sent"] for one in runs),
                sum(one["right"] for one in runs),
                sum(one["wrong"] + one["errors"] for one in runs),
                sum(one["lost"] for one in runs),
                statistics.median(one["qps"] for one in runs),
                statistics.median(cpu), statistics.median(delta)), file=out)
        print("%-12s %.3f to %.3f µs" % ("off, rounds", min(off), max(off)),
              file=out)
    print("\nexporter: %d scrapes, %.2f ms of CPU each" % (
        b.scrapes, b.spent_ns / 1e6 / max(b.scrapes, 1)), file=out)


def main():
    opt = options()
    process.adopt_orphans()
    results = {}
    load_average = []
    with tempfile.TemporaryDirectory(prefix="dotproxy-bench.") as folder:
        b = Bench(opt, pathlib.Path(folder))
        os.chmod(folder, 0o755)
        try:
            for number in range(opt.rounds):
                names = list(VARIANTS)
                for name in names[number % len(names):] + names[
                        :number % len(names)]:
                    load_average.append(os.getloadavg()[0])
                    for load, one in b.variant(name).items():
                        results.setdefault((name, load), []).append(one)
                    print("round %d/%d %s" % (number + 1, opt.rounds, name),
                          file=sys.stderr, flush=True)
        finally:
            process.stop(b.upstream.process)
        print("%s, %d rounds of %g s, load average %.1f to %.1f" % (
            time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), opt.rounds,
            opt.seconds, min(load_average), max(load_average)))
        show(results, b, sys.stdout)


if __name__ == "__main__":
    main()
