#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What a query costs as the work grows: upstreams, clients, queries in flight,
bytes.  CPU time of all processes of dotproxy, by rounds of all cases in turn;
medians, with the counts of what was answered beside them.

    scale.py [-r ROUNDS] [-s SERIES] [-o FILE]

prints, and writes to FILE, what tests/bench/scale.gp plots.
"""

import argparse
import pathlib
import resource
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
import certs        # noqa: E402
import programs     # noqa: E402

# The listener wants two descriptors for each client there may be.
MANY = min(10000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2 - 500)
ROOMY = """policy {policy}
client {{ max inflight 65536
max tcp connections {room}
max tcp connections per client {many}
tcp read timeout 1h }}"""
UPSTREAM = ("read timeout 1m",)
OPEN = ("-r", "20000", "-c", "8", "-q", "65536", "-n", "60000", "-w", "30")


class Series:
    def __init__(self, name, unit, cases):
        self.name = name
        self.unit = unit
        self.cases = cases      # (x, number of upstreams, arguments of load)


SERIES = [
    Series("upstreams", "upstreams, 16 queries outstanding for each", [
        (n, n, ("-q", str(16 * n), "-c", "4", "-T", "1"))
        for n in (1, 16, 64)]),
    Series("upstreams-failover", "upstreams, the first of which is used", [
        (n, n, ("-q", "400", "-c", "4", "-T", "1")) for n in (1, 16, 64)]),
    Series("tcp-busy", "TCP clients, each with one query outstanding", [
        (n, 1, ("-t", "-c", str(n), "-q", str(n), "-T", "2"))
        for n in (10, 100, 1000, MANY)]),
    Series("tcp-idle", "TCP clients, idle beside a load over UDP", [
        (n, 1, ("-q", "400", "-c", "4", "-T", "1", "-i", str(n)))
        for n in (0, 10, 1000, MANY)]),
    Series("inflight", "queries in flight, 20,000/s", [
        (20 * ms, 1, OPEN + ("-d", "delay-%d.test" % ms))
        for ms in (5, 50, 500, 2500)]),
    Series("size", "bytes of an answer over TCP", [
        (size, 1, ("-t", "-c", "8", "-q", "64", "-T", "1",
                   "-d", "size-%d.test" % size, "-z", str(size)))
        for size in (64, 512, 4096, 16384, 61440)]),
]


class Bed:
    """A daemon for each number of upstreams and policy, all on one server."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        (self.folder / "pki").mkdir()
        self.pki = certs.Pki(self.folder / "pki")
        self.server = programs.Upstream(self.pki)
        self.daemons = {}

    def daemon(self, count, policy):
        key = (count, policy)
        if key not in self.daemons:
            place = self.folder / ("%d-%s" % key)
            place.mkdir()
            daemon = programs.Daemon(place)
            daemon.configure(
                *(self.server.block("up%d" % i, *UPSTREAM)
                  for i in range(count)),
                timeout="30s", settings=ROOMY.format(
                    policy=policy, many=MANY, room=MANY + MANY // 8))
            daemon.start()
            self.daemons[key] = daemon
        return self.daemons[key]

    def run(self, series, count, args):
        policy = ("failover" if series.name.endswith("failover")
                  else "availability")
        daemon = self.daemon(count, policy)
        pids = ",".join(map(str, daemon.pids()))
        return programs.load(daemon.address, *args, "-P", pids)

    def stop(self):
        for daemon in self.daemons.values():
            daemon.stop()
        self.server.stop()


def trouble(result):
    """What was not answered rightly, by kind."""
    kinds = ("errors", "wrong", "duplicate", "lost", "refused", "closed")
    return sum(result[kind] for kind in kinds)


def table(series, results):
    smallest = None
    yield "# %s" % series.unit
    yield "# x  ns/query  ratio  p50_us  p99_us  answered  not"
    for (x, _, _), runs in zip(series.cases, results):
        def middle(key):
            return statistics.median(run[key] for run in runs)
        cost = middle("cpu_ns_per_query")
        if series.name == "size":
            cost /= x       # a byte
        smallest = smallest or cost
        yield "%d %.2f %.2f %.0f %.0f %d %d" % (
            x, cost, cost / smallest, middle("p50_us"), middle("p99_us"),
            sum(run["answered"] for run in runs), sum(map(trouble, runs)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-r", type=int, default=3, metavar="ROUNDS")
    parser.add_argument("-s", action="append", metavar="SERIES")
    parser.add_argument("-o", metavar="FILE")
    args = parser.parse_args()
    chosen = [s for s in SERIES if not args.s or s.name in args.s]
    results = {s.name: [[] for _ in s.cases] for s in chosen}
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder).chmod(0o755)
        bed = Bed(folder)
        try:
            for _ in range(args.r):
                for series in chosen:
                    for i, (_, count, how) in enumerate(series.cases):
                        results[series.name][i].append(
                            bed.run(series, count, how))
        finally:
            bed.stop()
    # An index for gnuplot: two empty lines between blocks.
    text = "\n\n".join(
        '"%s"\n%s\n' % (s.name, "\n".join(table(s, results[s.name])))
        for s in chosen)
    print(text)
    if args.o:
        pathlib.Path(args.o).write_text(text)


if __name__ == "__main__":
    main()
