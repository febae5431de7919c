#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""
What metrics cost: dotproxy without any beside itself with statsd, flushed each
second to a sink on this machine, with the exporter scraped each second, and
with both.  One build; the forwarders have one core, all else the other.  In
every round all variants are started anew and stay; each has a short turn of the
load, over and over, so that what the machine does meanwhile meets them all.
Prints, of each load and variant, what became of the queries, the median CPU
time a query in the daemon, and of the differences from that without metrics in
the same round the median, the least and the greatest.
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
    parse.add_argument("-r", "--rounds", type=int, default=7)
    parse.add_argument("-s", "--seconds", type=float, default=3,
                       help="of each load and variant in each round")
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
        [str(build / "bin/dotproxyctl"), "-s", str(folder / "control"),
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

    @contextlib.contextmanager
    def variant(self, number, rate, exported):
        """A running dotproxy: its process and port."""
        name = "v%d" % number
        with bench.running(self.forwarder(rate), self, name) as running:
            if not exported:
                yield running
                return
            with scraped(self.folder / name, self.opt.build,
                         self.client_core) as (exporter, scraper):
                before = process.cpu_ns(exporter.pid)
                yield running
                self.spent_ns += process.cpu_between(
                    before, process.cpu_ns(exporter.pid))
            self.scrapes += scraper.count

    def round(self):
        """{(load, variant): the sums of its turns}"""
        sums = {}
        datagrams = self.sink.count
        with contextlib.ExitStack() as stack:
            running = {name: stack.enter_context(self.variant(number, *what))
                       for number, (name, what) in enumerate(VARIANTS.items())}
            for _, port in running.values():
                self.load(port, "q20", min(self.opt.seconds, bench.TURN_S))
            for name, load, one in self.turns(running):
                one["spent"] = one["cpu_us"] * one["right"]
                add(sums.setdefault((load, name), {}), one)
            process.eventually(lambda: self.sink.count > datagrams,
                               "metrics to arrive")
        for one in sums.values():
            one["cpu_us"] = one["spent"] / one["right"]
        return sums


def add(total, one):
    for key in ("sent", "right", "wrong", "errors", "lost", "spent"):
        total[key] = total.get(key, 0) + one[key]
    total.setdefault("qps", []).append(one["qps"])


def show(rounds, b, out):
    for load in b.opt.loads:
        print("\n%s\n%-12s %10s %10s %6s %6s %8s %8s %23s" % (
            loads.describe(load), "", "sent", "right", "wrong", "lost", "qps",
            "µs/query", "to off: median (range)"), file=out)
        for name in VARIANTS:
            runs = [sums[load, name] for sums in rounds]
            delta = [100 * (sums[load, name]["cpu_us"]
                            / sums[load, OFF]["cpu_us"] - 1)
                     for sums in rounds]
            print("%-12s %10d %10d %6d %6d %8d %8.3f %+7.1f %% (%+.1f, %+.1f)"
                  % (name, sum(one["sent"] for one in runs),
                     sum(one["right"] for one in runs),
                     sum(one["wrong"] + one["errors"] for one in runs),
                     sum(one["lost"] for one in runs),
                     statistics.median(q for one in runs for q in one["qps"]),
                     statistics.median(one["cpu_us"] for one in runs),
                     statistics.median(delta), min(delta), max(delta)),
                  file=out)
    print("\nexporter: %d scrapes, %.2f ms of CPU each" % (
        b.scrapes, b.spent_ns / 1e6 / max(b.scrapes, 1)), file=out)


def main():
    opt = options()
    process.adopt_orphans()
    rounds = []
    load_average = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory(prefix="dotproxy-bench.") as folder:
        b = Bench(opt, pathlib.Path(folder))
        os.chmod(folder, 0o755)
        try:
            for number in range(opt.rounds):
                rounds.append(b.round())
                load_average.append(os.getloadavg()[0])
                print("round %d/%d" % (number + 1, opt.rounds),
                      file=sys.stderr, flush=True)
        finally:
            process.stop(b.upstream.process)
        print("%s, %d rounds of %g s, load average %.1f to %.1f" % (
            time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), opt.rounds,
            opt.seconds, min(load_average), max(load_average)))
        show(rounds, b, sys.stdout)


if __name__ == "__main__":
    main()
