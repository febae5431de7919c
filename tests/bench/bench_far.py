# SPDX-License-Identifier: ISC
"""
dotproxy, other forwarders and plain UDP over a far link, as root: what a query
takes, and what it takes until queries are answered again.  All forwarders run
at the same time, each with an upstream of its own.  Cases:

    idle    the upstream closes connections idle for 1 s; 1 query/s, Poisson
    loss    2 % of the packets of each direction are lost; 20 queries/s
    cut     the link is cut for 10 s; 20 queries/s
    sleep   the forwarder is stopped, and old connections are dead when it
            wakes, as after a suspend; 20 queries/s
    stop    one of two upstreams is stopped; 20 queries/s
"""

import argparse
import contextlib
import json
import math
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

import certs        # noqa: E402
import dnsclient    # noqa: E402
import far          # noqa: E402
import peers        # noqa: E402
import process      # noqa: E402
import programs     # noqa: E402

PLAIN = "plain-udp"
DOMAIN = "q.example.org"    # "test" is special to some
SECONDS = {"idle": 180, "loss": 120, "cut": 40, "sleep": 30, "stop": 30}
EVENT = 8       # second in which something happens
CUT = 10        # for so many seconds
ASLEEP = 3
WAIT = 10       # so long a client waits

# The part of a configuration that names the upstream.
UPSTREAM_PART = {
    "dotproxy": r'upstream "sink" \{\n(?:.*\n)*?\}\n',
    "unbound": r" forward-addr: .*\n",
    "knot-resolver": r"\t\{ '.*\n",
    "smartdns": r"server-tls .*\n",
    "dnsdist": r"newServer\((?:.*\n)*?.*\}\).*\n",
    "stubby": r"  - address_data: .*\n(?:    .*\n)+",
}


def local_to(text, hosts, name):
    """The upstreams are not on this machine, and there may be two."""
    def parts(match):
        part = match.group(0)
        made = [part.replace("127.0.0.1", host) for host in hosts]
        if name == "knot-resolver":
            made[:-1] = [p.rstrip() + ",\n" for p in made[:-1]]
        return made[0] + "".join(made[1:]).replace('"sink"', '"second"')

    text, count = re.subn(UPSTREAM_PART[name], parts, text)
    assert count == 1, "configuration of " + name
    # dnsdist chooses by what its health checks say; with one they only cost.
    return text.replace(":setUp()", "") if len(hosts) > 1 else text


class Runner:
    """A forwarder, or nothing, and its upstreams."""

    def __init__(self, name, link, knobs, count):
        port = programs.free_port()
        self.name = name
        self.process = None
        self.upstreams = [
            link.upstream("udp", "fast-open=64", *knobs, port=port,
                          leaf=link.pki.bench) for _ in range(count)]
        self.address = self.upstreams[0].address, port

    def start(self, link, folder):
        if self.name == PLAIN:
            return
        port = programs.free_port()
        here = folder / self.name
        here.mkdir()
        here.chmod(0o755)
        forwarder = peers.FORWARDERS[self.name]
        command = forwarder.prepare(here, programs.BUILD.resolve(),
                                    link.pki.ca, self.upstreams[0].port, port)
        (file,) = here.glob(self.name + ".*")
        hosts = [upstream.address for upstream in self.upstreams]
        file.write_text(local_to(file.read_text(), hosts, self.name))
        self.address = "127.0.0.1", port
        self.process = subprocess.Popen(
            [*link.near.inside, *command], cwd=here, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)

    def signal(self, number):
        if self.process is not None:
            for pid in (self.process.pid,
                        *process.descendants(self.process.pid)):
                os.kill(pid, number)

    def stop(self):
        if self.process is not None:
            self.signal(signal.SIGCONT)
            process.stop(self.process)

    def answers(self, link):
        query = dnsclient.make_query(
            "n%d.%s" % (time.monotonic_ns(), DOMAIN))
        with contextlib.suppress(OSError):
            return dnsclient.is_right(
                query, link.near.run(dnsclient.udp, self.address, query))

    def counts(self):
        stats = [upstream.stats() for upstream in self.upstreams]
        return {key: sum(s[key] for s in stats)
                for key in ("connections", "resumed", "queries")}


def happenings(case, link, runners):
    """What happens in a case: (second, function, True if all is well then)."""
    def all_of(number):
        return lambda: [runner.signal(number) for runner in runners]

    def upstream(number):
        return lambda: [runner.upstreams[0].process.send_signal(number)
                        for runner in runners]

    if case == "cut":
        return [(EVENT, link.cut, False), (EVENT + CUT, link.mend, True)]
    if case == "sleep":
        return [(EVENT, all_of(signal.SIGSTOP), False),
                (EVENT, lambda: link.command("forget"), False),
                (EVENT + ASLEEP, all_of(signal.SIGCONT), True)]
    if case == "stop":
        return [(EVENT, upstream(signal.SIGSTOP), False)]
    return []


def percentile(values, share):
    return values[min(len(values) - 1, int(share * len(values)))]


def result_of(trace, counts, spent, mended):
    """One line of the table."""
    lines = sorted(trace.lines)
    took = sorted(t * 1000 for _, t, what in lines if what == "answered")
    gaps = [b[0] - a[0] for a, b in zip(lines, lines[1:])]
    # How often a connection could have reached the upstream's limit of 1 s.
    idle = sum(gap for gap in gaps if gap > 1)
    result = {
        "sent": counts["sent"], "answered": counts["answered"],
        "errors": counts["errors"], "lost": counts["lost"],
        "wrong": counts["wrong"],
        "connections_per_query": spent["connections"] / counts["sent"],
        "connections_per_idle": spent["connections"] / idle if idle else None,
        "resumed": spent["resumed"],
        "extra_per_query": spent["queries"] / counts["sent"] - 1,
        "slowest_ms": trace.slowest() * 1000,
    }
    if took:
        for key, share in ("p50", .5), ("p90", .9), ("p99", .99), ("max", 1):
            result[key + "_ms"] = percentile(took, share)
        result["mean_ms"] = statistics.fmean(took)
    if mended:
        back = trace.first_answer(mended)
        result["back_ms"] = back * 1000 if math.isfinite(back) else None
    return result


def run_case(case, names, seconds, pki, folder):
    knobs = ("idle=1000",) if case == "idle" else ()
    with contextlib.ExitStack() as stack:
        link = stack.enter_context(contextlib.closing(far.FarLink(pki)))
        runners = [Runner(name, link, knobs, 2 if case == "stop" else 1)
                   for name in names]
        for runner in runners:
            stack.callback(runner.stop)
            runner.start(link, folder)
        for runner in runners:
            dnsclient.eventually(lambda r=runner: r.answers(link), 60,
                                 what=runner.name)
        if case == "loss":
            link.command("loss", 2)
        return measure(case, link, runners, seconds, folder)


def measure(case, link, runners, seconds, folder):
    rate = ("-r", "1", "-e") if case == "idle" else ("-r", "20")
    before = [runner.counts() for runner in runners]
    loads = [far.Load(link, runner.address, folder / (runner.name + ".trace"),
                      *rate, "-d", DOMAIN, "-T", str(seconds),
                      "-w", str(WAIT), "-q", "999")
             for runner in runners]
    start, mended = time.monotonic(), None
    for second, happen, mends in happenings(case, link, runners):
        time.sleep(max(0, start + second - time.monotonic()))
        happen()
        mended = time.monotonic() if mends else None
    done = [load.result(seconds + WAIT + 60) for load in loads]
    for runner in runners:
        for upstream in runner.upstreams:
            upstream.process.send_signal(signal.SIGCONT)
    results = {}
    for runner, was, (counts, trace) in zip(runners, before, done):
        spent = {key: value - was[key]
                 for key, value in runner.counts().items()}
        results[runner.name] = result_of(trace, counts, spent, mended)
    return results


COLUMNS = ("p50_ms", "p90_ms", "p99_ms", "max_ms", "slowest_ms", "sent",
           "errors", "lost", "wrong", "connections_per_query",
           "connections_per_idle", "extra_per_query", "back_ms")
HEADS = ("p50", "p90", "p99", "max", "slowest", "sent", "errors", "lost",
         "wrong", "conn/q", "conn/idle", "extra/q", "back ms")


def show(case, results):
    print("\n%-14s" % case + "".join("%10s" % head for head in HEADS))
    for name, result in results.items():
        row = "%-14s" % name
        for column in COLUMNS:
            value = result.get(column)
            form = "%10d" if isinstance(value, int) else "%10.2f"
            row += "%10s" % "-" if value is None else form % value
        print(row, flush=True)


def installed(name):
    command = peers.FORWARDERS[name].command[0]
    return "{" in command or shutil.which(command) is not None


def arguments(known):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-c", nargs="+", default=list(SECONDS),
                        choices=list(SECONDS), help="cases")
    parser.add_argument("-f", nargs="+", default=known, choices=known,
                        help="forwarders")
    parser.add_argument("-j", action="store_true", help="print JSON")
    parser.add_argument("-s", type=int, help="seconds a case, at least %d" %
                        (EVENT + CUT + 5))
    return parser.parse_args()


def main():
    known = [n for n in peers.FORWARDERS if n != peers.FLOOR] + [PLAIN]
    options = arguments(known)
    names = [n for n in options.f if n == PLAIN or installed(n)]
    if far.why_not():
        sys.exit("no far link: " + far.why_not())
    process.adopt_orphans()
    everything = {}
    for case in options.c:
        with tempfile.TemporaryDirectory(prefix="dp-far-") as folder:
            folder = pathlib.Path(folder)
            folder.chmod(0o755)
            pki = certs.Pki(folder)
            pki.bench = pki.issue("bench", peers.SERVER)
            everything[case] = run_case(
                case, names, options.s or SECONDS[case], pki, folder)
        if not options.j:
            show(case, everything[case])
    if options.j:
        print(json.dumps(everything))


if __name__ == "__main__":
    main()
