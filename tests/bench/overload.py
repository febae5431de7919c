#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What forwarders do when they are offered more than can be answered.

The upstream answers a fixed number of queries a second, in order.  The peak is
what a forwarder gets of that; then twice and four times as much is offered
over UDP, from 64 ports, while a few queries over TCP and a few over UDP go on
beside it, and after it.

With -c it is the forwarder that is slow: it gets so many per cent of a core
(a control group, version 1), and the upstream answers all that comes.

    overload.py [-b BUILD] [-r RATE] [-c PERCENT] [FORWARDER...]
"""

import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import tempfile
import types

import bench
import loads
import peers
import process

FLOOD_S = 6
AFTER_S = 6
TRICKLE = 20        # queries a second
GROUPS = pathlib.Path("/sys/fs/cgroup/cpu")


class Upstream(bench.Upstream):
    def set(self, knob):
        self.process.stdin.write("set " + knob + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == "ok"


def start_load(place, port, *args):
    return process.start(
        [str(place.opt.build / "tests/load"), "-j", "-d", loads.DOMAIN,
         "-p", str(port), *args],
        0, stdout=subprocess.PIPE, text=True)


def result(child):
    return json.loads(child.communicate(timeout=120)[0])


def recovery(trace, end_ns):
    """Seconds after the flood until all that is asked in one is answered;
    None if that did not come."""
    seconds = {}
    for line in trace.read_text().splitlines():
        due, _, what = line.split()
        second = (int(due) - end_ns) // 10**9
        seconds.setdefault(second, []).append(what == "answered")
    for second in sorted(seconds):
        if second >= 0 and all(seconds[second]):
            return second
    return None


def add_answers(main, trace):
    """Of the answers alone, which are not SERVFAIL: how fast they came from
    the first query to the last answer, and how long they took."""
    lines = [line.split() for line in trace.read_text().splitlines()]
    start = min(int(due) for due, _, _ in lines)
    took = sorted((int(ns), int(due)) for due, ns, what in lines
                  if what == "answered")
    end = max((due + ns for ns, due in took), default=start)
    main["goodput"] = len(took) * 10**9 / max(end - start, FLOOD_S * 10**9)
    main["a50_us"], main["a99_us"] = (
        took[len(took) * share // 100][0] / 1000 if took else 0
        for share in (50, 99))


def flood(place, port, rate):
    trace = place.folder / "trace"
    trickle = ("-r", str(TRICKLE), "-T", str(FLOOD_S + AFTER_S), "-q", "1000")
    tcp = start_load(place, port, "-t", *trickle)
    udp = start_load(place, port, *trickle, "-o", str(trace))
    main = result(start_load(
        place, port, "-c", "64", "-q", "200000", "-r", str(rate),
        "-T", str(FLOOD_S), "-w", "5", "-o", str(place.folder / "main")))
    add_answers(main, place.folder / "main")
    tcp, udp = result(tcp), result(udp)
    start_ns = min(int(line.split()[0])
                   for line in trace.read_text().splitlines())
    return main, tcp, udp, recovery(trace, start_ns + FLOOD_S * 10**9)


@contextlib.contextmanager
def throttled(pid, percent):
    """A forwarder and its processes get so much of a core; 0: all of it."""
    if percent == 0:
        yield
        return
    group = GROUPS / ("overload.%d" % os.getpid())
    group.mkdir()
    try:
        (group / "cpu.cfs_period_us").write_text("10000")
        (group / "cpu.cfs_quota_us").write_text(str(100 * percent))
        for one in (pid, *process.descendants(pid)):
            (group / "cgroup.procs").write_text(str(one))
        yield
    finally:
        for one in (group / "cgroup.procs").read_text().split():
            (GROUPS / "cgroup.procs").write_text(one)
        group.rmdir()


def measure(place, name, rate):
    forwarder = peers.FORWARDERS[name]
    place.upstream.set("rate=0")
    percent = place.percent
    with (bench.running(forwarder, place) as (child, port),
          throttled(child.pid, percent)):
        place.upstream.set("rate=%d" % (0 if percent else rate))
        run = result(start_load(place, port, "-c", "8", "-q", "400", "-T", "4"))
        peak = run["answered"] / run["seconds"]
        if peak == 0:
            print("%-14s nothing answered: %s" % (name, run), flush=True)
            return
        if percent:
            rate = round(peak)
        for factor in (2, 4):
            main, tcp, udp, after = flood(place, port, factor * rate)
            goodput = main["goodput"]
            print("%-14s %6.0f %3dx %6.0f %5.2f %8.0f %8.0f %7d %6d %6d "
                  "%4d/%-4d %4d/%-4d %s" % (
                      name, peak, factor, goodput, goodput / peak,
                      main["a50_us"] / 1000, main["a99_us"] / 1000,
                      main["errors"], main["lost"], main["wrong"],
                      tcp["answered"], tcp["sent"],
                      udp["answered"], udp["sent"],
                      "never" if after is None else after), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-b", default="build", metavar="BUILD")
    parser.add_argument("-r", type=int, default=4000, metavar="RATE")
    parser.add_argument("-c", type=int, default=0, metavar="PERCENT")
    parser.add_argument("forwarders", nargs="*")
    args = parser.parse_args()
    names = args.forwarders or [
        name for name in peers.FORWARDERS
        if name not in (peers.FLOOR, "stubby")]
    process.adopt_orphans()
    with tempfile.TemporaryDirectory() as folder:
        place = types.SimpleNamespace(
            folder=pathlib.Path(folder), core=1, percent=args.c,
            opt=types.SimpleNamespace(build=pathlib.Path(args.b).resolve()))
        place.folder.chmod(0o755)
        bench.make_certificates(place.folder)
        place.upstream = Upstream(place.folder, place.opt.build, 0)
        print("%-14s %6s %4s %6s %5s %8s %8s %7s %6s %6s %9s %9s %s" % (
            "forwarder", "peak/s", "load", "ans/s", "ratio", "p50 ms",
            "p99 ms", "errors", "lost", "wrong", "tcp", "udp", "recovered s"))
        try:
            for name in names:
                measure(place, name, args.r)
        finally:
            process.stop(place.upstream.process)


if __name__ == "__main__":
    main()
