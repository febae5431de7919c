# SPDX-License-Identifier: ISC
"""
dotproxy, other forwarders and plain UDP over a far link, as root: what a query
takes, and what it takes until queries are answered again.  All forwarders run
at the same time, each with an upstream of its own.  Cases:

    first   dotproxy alone has let go of its connections, and has a TCP Fast
            Open cookie and a ticket: one query a second, each the first;
            plain UDP half a second after it
    idle    the upstream closes connections idle for 1 s; 1 query/s, Poisson
    loss    2 % of the packets of each direction are lost; 20 queries/s
    cut     the link is cut for 10 s; 20 queries/s
    sleep   the forwarder is stopped, and old connections are dead when it
            wakes, as after a suspend; 20 queries/s
    stop    one of two upstreams is stopped; 20 queries/s
    stop3   two of three are, at once

At the end the targets: one line each.  In the last two cases dotproxy runs with
both policies.
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
FAILOVER = "dotproxy-failover"
SECONDS = {"first": 40, "idle": 120, "loss": 80, "cut": 30, "sleep": 20,
           "stop": 20, "stop3": 20}
UPSTREAMS = {"stop": 2, "stop3": 3}
RATE = {"first": ("-r", "1"), "idle": ("-r", "1", "-e")}
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
        return "".join(part.replace('"sink"', '"sink%d"' % i)
                       for i, part in enumerate(made))

    text, count = re.subn(UPSTREAM_PART[name], parts, text)
    assert count == 1, "configuration of " + name
    # dnsdist chooses by what its health checks say; with one they only cost.
    return text.replace(":setUp()", "") if len(hosts) > 1 else text


class Runner:
    """A forwarder, or nothing, and its upstreams."""

    def __init__(self, name, link, knobs, count):
        port = programs.free_port()
        self.name = name
        self.kind = peers.OURS if name == FAILOVER else name
        self.process = None
        self.upstreams = [
            link.upstream("udp", "fast-open=64", *knobs, port=port,
                          leaf=link.pki.bench) for _ in range(count)]
        # Plain UDP goes to the one that is never stopped.
        self.address = self.upstreams[-1].address, port

    def start(self, case, link, folder):
        if self.name == PLAIN:
            return
        port = programs.free_port()
        here = folder / self.name
        here.mkdir()
        here.chmod(0o755)
        forwarder = peers.FORWARDERS[self.kind]
        command = forwarder.prepare(here, programs.BUILD,
                                    link.pki.ca, self.upstreams[0].port, port)
        (file,) = here.glob(self.kind + ".*")
        hosts = [upstream.address for upstream in self.upstreams]
        text = local_to(file.read_text(), hosts, self.kind)
        if self.name == FAILOVER:
            text = "policy failover\n" + text
        if case == "first":
            text = "keep warm 0\n" + text.replace(
                "{\n", "{\n\tstale timeout 300ms\n", 1)
        file.write_text(text)
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

    def all_but_one(number):
        return lambda: [upstream.process.send_signal(number)
                        for runner in runners
                        for upstream in runner.upstreams[:-1]]

    if case == "cut":
        return [(EVENT, link.cut, False), (EVENT + CUT, link.mend, True)]
    if case == "sleep":
        return [(EVENT, all_of(signal.SIGSTOP), False),
                (EVENT, lambda: link.command("forget"), False),
                (EVENT + ASLEEP, all_of(signal.SIGCONT), True)]
    if case in UPSTREAMS:
        return [(EVENT, all_but_one(signal.SIGSTOP), False)]
    return []


def percentile(values, share):
    return values[min(len(values) - 1, int(share * len(values)))]


def result_of(trace, counts, spent, happened, mended):
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
    if happened:
        result["later_ms"] = 1000 * max(
            [took for due, took, _ in lines if due > happened + 1], default=0)
    return result


def is_ours(name):
    return name in (peers.OURS, FAILOVER, PLAIN)


def run_case(case, names, seconds, pki, folder):
    knobs = ("idle=1000",) if case == "idle" else ()
    if case in ("first", "stop3"):
        names = [name for name in names if is_ours(name)]
    if case in UPSTREAMS and peers.OURS in names:
        names = [FAILOVER, *names]
    with contextlib.ExitStack() as stack:
        link = stack.enter_context(contextlib.closing(far.FarLink(pki)))
        runners = [Runner(name, link, knobs, UPSTREAMS.get(case, 1))
                   for name in names]
        for runner in runners:
            stack.callback(runner.stop)
            runner.start(case, link, folder)
        for runner in runners:
            dnsclient.eventually(lambda r=runner: r.answers(link), 60,
                                 what=runner.name)
        if case == "loss":
            link.command("loss", 2)
        return measure(case, link, runners, seconds, folder)


def start_loads(case, link, runners, seconds, folder):
    """All at the same time, but where each query is to be alone."""
    loads = []
    for runner in runners:
        if case == "first":
            time.sleep(0.5 if loads else 1)
        loads.append(far.Load(
            link, runner.address, folder / (runner.name + ".trace"),
            *RATE.get(case, ("-r", "20")), "-d", DOMAIN, "-T", str(seconds),
            "-w", str(WAIT), "-q", "999"))
    return loads


def measure(case, link, runners, seconds, folder):
    before = [runner.counts() for runner in runners]
    loads = start_loads(case, link, runners, seconds, folder)
    start, happened, mended = time.monotonic(), None, None
    for second, happen, mends in happenings(case, link, runners):
        time.sleep(max(0, start + second - time.monotonic()))
        happen()
        happened = time.monotonic()
        mended = happened if mends else None
    done = [load.result(seconds + WAIT + 60) for load in loads]
    for runner in runners:
        for upstream in runner.upstreams:
            upstream.process.send_signal(signal.SIGCONT)
    results = {}
    for runner, was, (counts, trace) in zip(runners, before, done):
        spent = {key: value - was[key]
                 for key, value in runner.counts().items()}
        results[runner.name] = result_of(
            trace, counts, spent, happened, mended)
    return results


COLUMNS = ("p50_ms", "p90_ms", "p99_ms", "max_ms", "slowest_ms", "sent",
           "errors", "lost", "wrong", "connections_per_query",
           "connections_per_idle", "extra_per_query", "back_ms", "later_ms")
HEADS = ("p50", "p90", "p99", "max", "slowest", "sent", "errors", "lost",
         "wrong", "conn/q", "conn/idle", "extra/q", "back", "later")
# Case, forwarder, what, its value, less how often that of plain UDP, at most.
TARGETS = (
    ("first", peers.OURS, "first after a sleep: p50 less twice plain UDP's, ms",
     "p50_ms", 2, 3),
    ("loss", peers.OURS, "2 % loss, 20/s: p99 ms", "p99_ms", 0, 45),
    ("idle", peers.OURS, "closes after 1 s, 1/s: p99 less plain UDP's, ms",
     "p99_ms", 1, 1.5),
    ("idle", peers.OURS, "the same: connections per second of idleness (*)",
     "connections_per_idle", 0, 1.2),
    ("cut", peers.OURS, "link cut for 10 s: first answer after ms", "back_ms",
     0, 1000),
    ("sleep", peers.OURS, "stopped for 3 s: first answer after ms",
     "back_ms", 0, 1000),
) + tuple(
    (case, name, "%s, %s: %s ms" % (how, policy, what), key, 0, 300)
    for case, how in (("stop", "1 of 2 stopped"), ("stop3", "2 of 3 stopped"))
    for name, policy in ((FAILOVER, "failover"), (peers.OURS, "availability"))
    for key, what in (("slowest_ms", "slowest"),
                      ("later_ms", "slowest from 1 s later")))
IDLENESS = """\
(*) connections opened, over the sum of the pauses between queries that were
    longer than 1 s, in seconds: to have one open all the time takes 1."""


def show(case, results):
    print("\n%-14s" % case + "".join("%10s" % head for head in HEADS))
    for name, result in results.items():
        row = "%-14s" % name
        for column in COLUMNS:
            value = result.get(column)
            form = "%10d" if isinstance(value, int) else "%10.2f"
            row += "%10s" % "-" if value is None else form % value
        print(row, flush=True)


def judge(everything):
    """The targets, a line each."""
    lines = ["%-54s%9s%10s%11s%11s  %s" % (
        "target", "at most", "measured", "plain UDP", "not right", "met")]
    for case, name, what, key, less, most in TARGETS:
        results = everything.get(case, {})
        if results.get(name, {}).get(key) is None:
            continue
        result, plain = results[name], results.get(PLAIN, {}).get(key)
        value = result[key] - less * (plain or 0)
        bad = result["lost"] + result["wrong"]
        if case not in ("cut", "sleep"):    # there nobody can answer
            bad += result["errors"]
        lines.append("%-54s%9.1f%10.2f%11s%11d  %s" % (
            what, most, value, "-" if plain is None else "%.2f" % plain, bad,
            "yes" if value <= most and bad == 0 else "NO"))
    return "\n".join([*lines, IDLENESS])


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
    parser.add_argument("-q", action="store_true",
                        help="quick: half of the time, dotproxy alone")
    options = parser.parse_args()
    if options.q:
        options.f = [peers.OURS, PLAIN]
    return options


def seconds_of(case, options):
    if options.s or not options.q:
        return options.s or SECONDS[case]
    return max(EVENT + (CUT if case == "cut" else 0) + 5, SECONDS[case] // 2)


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
                case, names, seconds_of(case, options), pki, folder)
        if not options.j:
            show(case, everything[case])
    print(json.dumps(everything) if options.j else "\n" + judge(everything))


if __name__ == "__main__":
    main()
