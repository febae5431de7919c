#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""
Forwarders side by side: the load generator and a cheap DNS-over-TLS upstream
on one core, the forwarders on the other.  In every round all of them are
started anew, and have each load in turn, a second at a time, while the
others wait: what the machine does besides falls on all.  Printed are the
medians over the half of these turns of which the host of a virtual machine took
least, and the sums, over all, of what became of the queries; memory is looked at
before, of each alone.  Uses no other network than loopback, no path
outside of a directory of its own, and ends whatever it has started.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import loads
import peers
import process
import report

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The end of a query: its first label is one never asked before.
READY = b"\7example\3org\0\0\1\0\1"
TURN_S = 1      # of a load, then it is the next forwarder's


def options():
    parse = argparse.ArgumentParser(
        description="Compare DNS-over-TLS forwarders.")
    names = ",".join(peers.FORWARDERS)
    parse.add_argument("-b", "--build", type=pathlib.Path,
                       default=os.environ.get("DOTPROXY_BUILD",
                                              ROOT / "build"))
    parse.add_argument("-f", "--forwarders", default=names,
                       help="of " + names)
    parse.add_argument("-i", "--input", type=pathlib.Path,
                       help="print what -j had printed into this file")
    parse.add_argument("-j", "--json", action="store_true")
    parse.add_argument("-l", "--loads", default=",".join(loads.DEFAULT),
                       help="qN: N outstanding, rN: N a second, d before it:"
                       " by dnsperf; default %(default)s")
    parse.add_argument("-m", "--markdown", action="store_true")
    parse.add_argument("-r", "--rounds", type=int, default=5)
    parse.add_argument("-s", "--seconds", type=float, default=2,
                       help="of each load in each round")
    opt = parse.parse_args()
    opt.build = pathlib.Path(opt.build).resolve()
    opt.forwarders = opt.forwarders.split(",")
    opt.loads = opt.loads.split(",")
    for name in opt.forwarders:
        if name not in peers.FORWARDERS:
            parse.error("no forwarder " + name)
    for load in opt.loads:
        if not loads.is_valid(load):
            parse.error("no load " + load)
    if opt.rounds < 1 or opt.seconds <= 0:
        parse.error("nothing to do")
    return opt


def make_certificates(folder):
    """A throw-away authority and a certificate for the upstream."""
    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, cwd=folder,
                       stdin=subprocess.DEVNULL, capture_output=True)

    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
               "-nodes"]
    openssl("req", "-x509", *new_key, "-days", "2", "-subj", "/CN=bench CA",
            "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", *new_key, "-subj", "/CN=" + peers.SERVER,
            "-keyout", "server.key", "-out", "server.csr")
    (folder / "server.ext").write_text("subjectAltName=DNS:" + peers.SERVER)
    openssl("x509", "-req", "-in", "server.csr", "-days", "2", "-CA",
            "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile",
            "server.ext", "-out", "server.pem")


class Upstream:
    def __init__(self, folder, build, core):
        self.process = process.start(
            [str(build / "tests/upstream"), "-l", "127.0.0.1", "-p", "0",
             "-c", str(folder / "server.pem"),
             "-k", str(folder / "server.key")],
            core, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])

    def queries(self):
        self.process.stdin.write("stats\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())["queries"]


def answers(port):
    """True if a query of our own gets an answer without error."""
    ident = os.urandom(2)
    label = os.urandom(4).hex().encode()
    query = (ident + b"\1\0\0\1" + bytes(6) + bytes([len(label)]) + label
             + READY)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.5)
        try:
            sock.connect(("127.0.0.1", port))
            sock.send(query)
            answer = sock.recv(4096)
        except OSError:
            return False
    return (answer[:2] == ident and len(answer) > len(query)
            and answer[3] & 15 == 0 and answer[6:8] == b"\0\1")


@contextlib.contextmanager
def running(forwarder, bench, name="run"):
    """A forwarder, from its first answer on; gives its process and port."""
    folder = bench.folder / name  # short: a socket's path is limited
    folder.mkdir()
    port = process.free_port()
    command = forwarder.prepare(
        folder, bench.opt.build, bench.folder / "ca.pem",
        bench.upstream.port, port)
    with open(folder / "output", "w") as log:
        child = process.start(command, bench.core, stdin=subprocess.DEVNULL,
                              stdout=log, stderr=log, cwd=folder)
    try:
        process.eventually(
            lambda: child.poll() is not None or answers(port), forwarder.name)
        if child.poll() is not None:
            raise RuntimeError(forwarder.name + " ended")
        yield child, port
    except RuntimeError:
        sys.stderr.write((folder / "output").read_text(errors="replace"))
        raise
    finally:
        process.stop(child)
        shutil.rmtree(folder)


class Bench:
    def __init__(self, opt, folder):
        cores = sorted(os.sched_getaffinity(0))
        self.opt = opt
        self.folder = folder
        self.core = cores[-1]         # the forwarder's
        self.client_core = cores[0]
        make_certificates(folder)
        self.upstream = Upstream(folder, opt.build, self.client_core)

    def load(self, port, load, seconds):
        return loads.run(load, port, seconds, self.client_core,
                         self.opt.build, self.folder)

    def measure(self, child, port, load, seconds):
        """One load on one forwarder; returns what was counted."""
        queries = self.upstream.queries()
        start, stolen = time.monotonic(), process.stolen_s()
        before = process.cpu_ns(child.pid)
        result = self.load(port, load, seconds)
        spent = process.cpu_between(before, process.cpu_ns(child.pid))
        result["cpu_us"] = (spent / 1000 / result["right"]
                            if result["right"] else None)
        result["upstream"] = self.upstream.queries() - queries
        result["stolen"] = ((process.stolen_s() - stolen) / os.cpu_count()
                            / (time.monotonic() - start))
        return result

    def memory(self):
        """Each forwarder alone, for what it shares would be divided by more;
        returns {load: {name: KiB after it}}."""
        found = {}
        for name in self.opt.forwarders:
            with running(peers.FORWARDERS[name], self) as (child, port):
                for load in self.opt.loads:
                    self.load(port, load, min(self.opt.seconds, TURN_S))
                    found.setdefault(load, {})[name] = process.pss_kib(
                        child.pid)
        return found

    def turns(self, started):
        """Each load on all that runs, in turn, the first of them last in the
        next; gives (name, load, result)."""
        names = list(started)
        n = max(1, round(self.opt.seconds / TURN_S))
        for load in self.opt.loads:
            for _ in range(n):
                for name in names:
                    yield name, load, self.measure(
                        *started[name], load, self.opt.seconds / n)
                names.append(names.pop(0))

    def round(self):
        """The same, with all forwarders started anew."""
        with contextlib.ExitStack() as stack:
            started = {}
            for name in self.opt.forwarders:
                started[name] = stack.enter_context(
                    running(peers.FORWARDERS[name], self, name))
                # Connections are made and memory is touched before it counts.
                self.load(started[name][1], "q20",
                          min(self.opt.seconds, TURN_S))
            yield from self.turns(started)


def version(forwarder):
    if forwarder.package is None:
        return ""
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", forwarder.package],
        text=True, capture_output=True)
    return done.stdout.split("-")[0].split("+")[0]


def run(opt, folder):
    results = {load: {name: [] for name in opt.forwarders}
               for load in opt.loads}
    load_average = os.getloadavg()[0]
    bench = Bench(opt, folder)
    try:
        memory = bench.memory()
        for number in range(opt.rounds):
            for name, load, result in bench.round():
                results[load][name].append(result)
                print("round %d/%d %s %s: %d of %d right" % (
                    number + 1, opt.rounds, name, load, result["right"],
                    result["sent"]), file=sys.stderr, flush=True)
    finally:
        process.stop(bench.upstream.process)
    table = report.summary(results, memory)
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "kernel": os.uname().release, "cores": os.cpu_count(),
        "load_average": load_average,  # before: what others do
        "stolen": report.stolen(results),
        "rounds": opt.rounds, "seconds": opt.seconds,
        "versions": {name: version(peers.FORWARDERS[name])
                     for name in opt.forwarders},
        "runs": results, "loads": table, "targets": report.targets(table),
    }


def show(opt, result):
    if opt.json:
        print(json.dumps(result, indent=1))
    else:
        print(report.text(result, opt.markdown), end="")


def main():
    opt = options()
    # Debian keeps servers out of the path of users.
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    process.adopt_orphans()
    if opt.input:
        show(opt, json.loads(opt.input.read_text()))
        return
    with tempfile.TemporaryDirectory(prefix="dotproxy-bench.") as folder:
        try:
            result = run(opt, pathlib.Path(folder))
        except KeyboardInterrupt:
            sys.exit(130)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            sys.exit("bench: %s" % error)
    show(opt, result)


if __name__ == "__main__":
    main()
