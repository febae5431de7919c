#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What forwarders do when they are offered more than can be answered.

The upstream answers a fixed number of queries a second, in order.  The peak is
what a forwarder gets of that; then twice and four times as much is offered
over UDP, from 64 ports, while a few queries over TCP and a few over UDP go on
beside it, and after it.

    overload.py [-b BUILD] [-r RATE] [FORWARDER...]
"""

import argparse
import json
import pathlib
import subprocess
import tempfile
import types

import bench
import peers
import process

FLOOD_S = 6
AFTER_S = 6
TRICKLE = 20        # queries a second


class Upstream(bench.Upstream):
    def set(self, knob):
        self.process.stdin.write("set " + knob + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == "ok"


def start_load(place, port, *args):
    return process.start(
        [str(place.opt.build / "tests/load"), "-j", "-p", str(port), *args],
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


def flood(place, port, rate):
    trace = place.folder / "trace"
    trickle = ("-r", str(TRICKLE), "-T", str(FLOOD_S + AFTER_S), "-q", "1000")
    tcp = start_load(place, port, "-t", *trickle)
    udp = start_load(place, port, *trickle, "-o", str(trace))
    main = result(start_load(
        place, port, "-c", "64", "-q", "200000", "-r", str(rate),
        "-T", str(FLOOD_S), "-w", "5"))
    tcp, udp = result(tcp), result(udp)
    start_ns = min(int(line.split()[0])
                   for line in trace.read_text().splitlines())
    return main, tcp, udp, recovery(trace, start_ns + FLOOD_S * 10**9)


def measure(place, name, rate):
    forwarder = peers.FORWARDERS[name]
    place.upstream.set("rate=0")
    with bench.running(forwarder, place) as (_, port):
        place.upstream.set("rate=%d" % rate)
        run = result(start_load(place, port, "-c", "8", "-q", "400", "-T", "4"))
        peak = run["answered"] / run["seconds"]
        if peak == 0:
            print("%-14s nothing answered: %s" % (name, run), flush=True)
            return
        for factor in (2, 4):
            main, tcp, udp, after = flood(place, port, factor * rate)
            # To the last answer: those in line are served after the end.
            goodput = main["answered"] / main["seconds"]
            print("%-14s %6.0f %3dx %6.0f %5.2f %8.0f %8.0f %7d %6d %6d "
                  "%4d/%-4d %4d/%-4d %s" % (
                      name, peak, factor, goodput, goodput / peak,
                      main["p50_us"] / 1000, main["p99_us"] / 1000,
                      main["errors"], main["lost"], main["wrong"],
                      tcp["answered"], tcp["sent"],
                      udp["answered"], udp["sent"],
                      "never" if after is None else after), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-b", default="build", metavar="BUILD")
    parser.add_argument("-r", type=int, default=4000, metavar="RATE")
    parser.add_argument("forwarders", nargs="*")
    args = parser.parse_args()
    names = args.forwarders or [
        name for name in peers.FORWARDERS
        if name not in (peers.FLOOR, "stubby")]
    process.adopt_orphans()
    with tempfile.TemporaryDirectory() as folder:
        place = types.SimpleNamespace(
            folder=pathlib.Path(folder), core=1,
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
