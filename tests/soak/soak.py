#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""
Mixed load, and everything that goes wrong, at random from a seed, for some
minutes: children are killed (-k: every so many seconds) and stopped, the
configuration is reloaded, good, other and broken, and one of three upstreams
after the other misbehaves.  Then some quiet seconds, and the invariants, one
line each; the exit status is 1 if one is broken.

What is expected:

- A pool that is killed loses nothing, and costs no SERVFAIL.
- A listener that is killed loses what it had read, as any server does, and its
  TCP connections.  Stubs ask again after 4 seconds, which is more than the
  query timeout, up to five times, with the same ID and port; over TCP what is
  not answered is asked again on another connection.  Missing is what has no
  answer 24 seconds after it was asked first.  That somebody has to ask again is
  right only if a listener was killed or stopped at the time.
- A child that is stopped is killed by the parent after some ten seconds.  What
  a stopped listener has not read waits in its socket, as far as there is room.
  What a stopped pool holds ends in SERVFAIL at the query timeout; at any other
  time there is no SERVFAIL, for one upstream always is good.
- Two answers are right for a query sent twice; a double is one more than the
  query was sent.
- A load of another kind (tests/bench/load.c), which never asks again, may lose
  no more than was due while there was no listener, and what that had taken.

The same seed makes the same choices; when each comes depends on the machine.
"""

import argparse
import contextlib
import json
import os
import pathlib
import random
import re
import signal
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

import certs        # noqa: E402
import programs     # noqa: E402
from clients import (           # noqa: E402
    PATIENCE_S, QUERY_TIMEOUT_S, Clients)
from dnsclient import eventually    # noqa: E402

WARM_S = 4              # of load, before and after all faults
STOPPED_MAX_S = 30      # the parent says 12; the machine may be busy
BEFORE_S = QUERY_TIMEOUT_S + 1   # what a listener may have held at its end
AFTER_S = 1
# The pool keeps what a burst has touched of its tables, and of the heap.
GROWTH_KIB = {"parent": 512, "listener": 2048, "pool": 6144}
GROWTH_FILES = {"parent": 0, "listener": 0, "pool": 8}  # connections upstream
POLICIES = ("availability", "failover", "round-robin", "latency", "random",
            "historical-connections")
# How an upstream is told to misbehave, and to behave again.
KNOBS = ("drop", "rst", "close", "half", "garbage", "wrongid", "wrongq",
         "alert", "badmac", "stall", "delay=300", "jitter=500", "drip=500",
         "dup", "byte", "close-after=3", "rekey", "oversize", "zero",
         "freeze-after=20")


def pss_kib(pid):
    """Without pages of files: how many share those is not the daemon's."""
    text = pathlib.Path("/proc/%d/smaps_rollup" % pid).read_text()
    return int(re.search(r"^Pss_Anon:\s*(\d+)", text, re.M).group(1))


class Soak:
    """The daemon, its upstreams, and what is done to them."""

    def __init__(self, stack, folder, seed, kill_s, rate):
        # One for each kind of thing: what is chosen does not depend on time.
        self.rng = {what: random.Random("%d %s" % (seed, what)) for what in (
            "kill", "stop", "reload", "fault", "time")}
        self.kill_s = kill_s
        self.rate = rate
        pki = certs.Pki(folder)
        self.upstreams = []
        for _ in range(3):
            upstream = programs.Upstream(
                pki, "reset", port=programs.free_port())
            stack.callback(upstream.stop)
            self.upstreams.append(upstream)
        self.daemon = programs.Daemon(folder)
        self.daemon.children_may_die = True
        stack.callback(self.daemon.stop)
        self.used = set(range(3))
        self.configure()
        self.daemon.start()
        self.done = dict.fromkeys(
            ("killed", "stopped", "reloaded", "refused", "faults"), 0)
        self.trouble = {"listener": [], "pool": []}     # from, until
        self.stopped = None     # role, process, since
        self.fault = None       # until, how it ends
        self.broken = []
        self.history = []       # when, what

    def note(self, *what):
        self.history.append((time.monotonic(), " ".join(map(str, what))))

    def failed(self):
        """Why queries have failed, since there is this listener."""
        counters = self.daemon.ctl_json("show", "stats")["listener"]
        return {key: value for key, value in counters.items()
                if value and key.startswith("failed_")}

    def configure(self, policy="availability"):
        self.daemon.configure(
            *(self.upstreams[i].block("up%d" % i) for i in sorted(self.used)),
            timeout="%ds" % QUERY_TIMEOUT_S, settings="policy " + policy)

    # --- what is done ---

    def replaced(self, role, old, since):
        """True if there is another, which serves; it is noted since when."""
        if self.daemon.children().get(role, old) == old:
            return False
        if self.daemon.ctl("show", "summary").returncode != 0:
            return False
        self.trouble[role].append((since, time.monotonic()))
        self.note("another", role, self.failed())
        return True

    def kill(self):
        role = self.rng["kill"].choice(("listener", "pool"))
        if self.stopped and self.stopped[0] == role:
            role = {"listener": "pool", "pool": "listener"}[role]
        since, old = time.monotonic(), self.daemon.child(role)
        self.note("kill", role, self.failed() if not self.stopped else "")
        os.kill(old, signal.SIGKILL)
        self.done["killed"] += 1
        if self.stopped:    # which leaves the other one's end unseen
            eventually(lambda: self.daemon.children().get(role, old) != old,
                       60, "another " + role)
            self.trouble[role].append((since, time.monotonic() + AFTER_S))
        else:
            eventually(lambda: self.replaced(role, old, since),
                       60, "another " + role)

    def stop(self):
        role = self.rng["stop"].choice(("listener", "pool"))
        self.stopped = (role, self.daemon.child(role), time.monotonic())
        self.note("stop", role)
        os.kill(self.stopped[1], signal.SIGSTOP)
        self.done["stopped"] += 1

    def look_at_stopped(self):
        role, pid, since = self.stopped
        if self.replaced(role, pid, since):
            self.stopped = None
        elif time.monotonic() - since > STOPPED_MAX_S:
            self.broken.append("a stopped %s is not replaced" % role)
            os.kill(pid, signal.SIGKILL)
            self.stopped = None

    def reload(self):
        rng = self.rng["reload"]
        self.used = set(rng.sample(range(3), rng.choice((2, 3))))
        self.configure(rng.choice(POLICIES))
        eventually(lambda: self.daemon.ctl("reload").returncode == 0,
                   30, "reload")
        self.done["reloaded"] += 1
        self.note("reloaded", self.used)

    def reload_broken(self):
        good = self.daemon.file.read_text()
        self.daemon.file.write_text(good + "\nlisten on nonsense\n")
        said = self.daemon.ctl("reload")
        if said.returncode == 0:
            self.broken.append("a broken configuration was taken")
        self.done["refused"] += str(self.daemon.file) in said.stderr
        self.daemon.file.write_text(good)

    def make_fault(self):
        """One upstream at a time; the others are good."""
        rng = self.rng["fault"]
        upstream = rng.choice(self.upstreams)
        kind = rng.choice((*KNOBS, "SIGSTOP", "down", "restart", "closed"))
        until = time.monotonic() + rng.uniform(0.5, 4)
        close = rng.random() < 0.5

        def nothing():
            pass

        end = nothing
        if kind == "SIGSTOP":
            upstream.process.send_signal(signal.SIGSTOP)

            def end():
                upstream.process.send_signal(signal.SIGCONT)
        elif kind == "down":
            upstream.go_down()
            end = upstream.come_up
        elif kind == "restart":
            upstream.restart()
        elif kind == "closed":
            assert upstream.command("close") == "ok"
        else:
            upstream.set(kind)
            if close:
                assert upstream.command("close") == "ok"

            def end():
                upstream.set(kind.partition("=")[0] + "=0")
                assert upstream.command("close") == "ok"
        self.fault = until, end
        self.note("fault", kind, self.upstreams.index(upstream))
        self.done["faults"] += 1

    def end_fault(self):
        if self.fault:
            self.fault[1]()
            self.fault = None
            self.note("fault ends")

    # --- the run ---

    def run(self, seconds):
        start = now = time.monotonic()
        self.due = {"kill": now + (self.kill_s or 2 * seconds),
                    "reload": now + 2, "fault": now,
                    "stop": now + 40}   # not in a short run
        while now < start + seconds:
            time.sleep(0.1)
            now = time.monotonic()
            if self.stopped:
                self.look_at_stopped()
            if self.fault and now > self.fault[0]:
                self.end_fault()
                self.due["fault"] = now + self.rng["time"].uniform(0.1, 1)
            for what, when in sorted(self.due.items()):
                if now > when:
                    self.act(what, now)
        self.end_fault()
        while self.stopped:
            time.sleep(0.2)
            self.look_at_stopped()
        self.used = set(range(3))
        self.configure()
        eventually(lambda: self.daemon.ctl("reload").returncode == 0,
                   30, "reload")

    def act(self, what, now):
        """Does it, unless something else has to end before."""
        time_rng = self.rng["time"]
        if what == "kill":
            self.due[what] = max(self.due[what] + self.kill_s, now)
            self.kill()
        elif what == "fault" and not self.fault:
            self.make_fault()
        elif what == "stop" and not self.stopped:
            self.due[what] = now + time_rng.uniform(50, 70)
            self.stop()
        elif what == "reload" and not self.stopped:
            self.due[what] = now + time_rng.uniform(2, 8)
            self.rng["reload"].choice((
                self.reload, self.reload, self.reload_broken))()

    def pids(self):
        return dict(self.daemon.children(), parent=self.daemon.process.pid)

    def rest(self):
        """What the processes hold once nobody asks any more."""
        def quiet():
            stats = self.daemon.ctl_json("show", "stats")
            return (stats["listener"]["in_flight"] == 0
                    and stats["listener"]["tcp_open"] == 0
                    and stats["pool"]["in_flight"] == 0)
        eventually(quiet, 60, "rest")
        time.sleep(2)
        return {role: (pss_kib(pid), programs.open_files(pid))
                for role, pid in self.pids().items()}

    def renew(self):
        """New children, and a parent that has reloaded, as at the end."""
        for _ in range(3):
            self.reload()
            self.reload_broken()
        self.used = set(range(3))
        self.configure()
        self.daemon.reload()
        for role in ("listener", "pool"):
            self.daemon.kill_child(role)
        eventually(lambda: self.daemon.ctl("show", "summary").returncode == 0)
        self.done["killed"] += 2


def within(windows, first, last):
    return any(since - BEFORE_S <= last and first <= until + AFTER_S
               for since, until in windows)


def gentle(soak, seed):
    """A load without faults; nothing may go wrong in it."""
    clients = Clients(soak.daemon.address, seed, rate=soak.rate)
    clients.start()
    time.sleep(WARM_S)
    return clients.finish()


def flaws(account):
    return [(name, getattr(account, name)[:3]) for name in (
        "wrong", "double", "missing", "refused", "servfail", "resent")
        if getattr(account, name)]


def unexplained(soak, account):
    """What a client has seen that no fault of its time explains."""
    listener, pool = soak.trouble["listener"], soak.trouble["pool"]
    return {
        "wrong": account.wrong, "double": account.double,
        "missing": account.missing, "refused": account.refused,
        "asked again without cause": [
            event for event in account.resent
            if not within(listener, event[0], event[0])
            and not within(listener, event[1] - BEFORE_S, event[1])],
        "SERVFAIL without cause": [
            event for event in account.servfail if not any(
                since <= event[1] <= until + BEFORE_S
                for since, until in pool
                if until - since > QUERY_TIMEOUT_S)],
    }


def judge_load(soak, counts):
    """Of the load that does not ask again."""
    stops = [window for window in soak.trouble["pool"]
             if window[1] - window[0] > QUERY_TIMEOUT_S]
    lost_s = sum(
        until - since + AFTER_S
        + (QUERY_TIMEOUT_S if within(stops, since, since) else 0)
        for since, until in soak.trouble["listener"])
    failed_s = sum(until - since + AFTER_S for since, until in stops)
    broken = [name for name in ("wrong", "duplicate", "refused")
              if counts[name]]
    if counts["lost"] > soak.rate * lost_s:
        broken.append("lost, of %d" % (soak.rate * lost_s))
    if counts["errors"] > soak.rate * failed_s:
        broken.append("errors, of %d" % (soak.rate * failed_s))
    return broken


def judge_rest(before, after):
    broken = []
    for role, (kib, files) in before.items():
        now_kib, now_files = after[role]
        if now_kib - kib > GROWTH_KIB[role] and not programs.SANITIZED:
            broken.append("%s: %d KiB, were %d" % (role, now_kib, kib))
        if now_files - files > GROWTH_FILES[role]:
            broken.append("%s: %d files, were %d" % (role, now_files, files))
    return broken


def zombies(parent):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            above, state = programs.parent_and_state(int(entry.name))
            if above == parent and state == "Z":
                found.append(int(entry.name))
    return found


def judge_log(soak):
    """Every death is one of ours: nobody crashed or broke the protocol."""
    log = soak.daemon.log()
    hung = re.findall(r"warn: \w+: killed: (.*)", log)
    broken = [why for why in hung if not why.startswith("hangs")]
    if len(hung) > soak.done["stopped"]:
        broken.append("%d were killed by the parent" % len(hung))
    deaths = re.findall(r"process \(pid \d+\) died: (.*)", log)
    if any("signal 9" not in death for death in deaths):
        broken.append("a child died: %r" % set(deaths))
    if len(deaths) != soak.done["killed"] + soak.done["stopped"]:
        broken.append("%d deaths, %r" % (len(deaths), soak.done))
    return broken


def soak_all(stack, args, folder):
    soak = Soak(stack, folder, args.seed, args.kill, args.rate)
    soak.renew()
    first = gentle(soak, args.seed + 1)
    before = soak.rest()
    clients = Clients(soak.daemon.address, args.seed + 2, rate=args.rate)
    load = programs.BackgroundLoad(
        soak.daemon.address, "-r", str(args.rate), "-q", "8000", "-w", "20",
        "-c", "4", "-T", str(args.minutes * 60))
    stack.callback(load.stop)
    clients.start()
    try:
        soak.run(args.minutes * 60)
    finally:
        account = clients.finish()
    counts = load.result()
    last = gentle(soak, args.seed + 3)
    after = soak.rest()
    broken = [("before any fault", flaws(first))] + [
        (name, events) for name, events in
        unexplained(soak, account).items()] + [
        ("after all faults", flaws(last)),
        ("the other load", judge_load(soak, counts)),
        ("memory and files", judge_rest(before, after)),
        ("zombies", zombies(soak.daemon.process.pid)),
        ("log", judge_log(soak)), ("done", soak.broken)]
    report(soak, account, counts, before, after)
    for name, events in unexplained(soak, account).items():
        around(soak, name, events)
    return [(name, what) for name, what in broken if what]


def report(soak, account, counts, before, after):
    print("done:", json.dumps(soak.done))
    print("patient clients: %d queries, %d right, %d SERVFAIL, %d wrong, "
          "%d double, %d missing; asked again %d, of these answered twice %d; "
          "slowest %.1f s" % (
              account.queries, account.right, len(account.servfail),
              len(account.wrong), len(account.double), len(account.missing),
              len(account.resent), account.again, account.slowest_s))
    print("load:", json.dumps(counts))
    for role, windows in soak.trouble.items():
        spans = sorted(until - since for since, until in windows)
        print("%s: %d times away, %.1f s at the most, %.1f s in all" % (
            role, len(spans), spans[-1] if spans else 0, sum(spans)))
    for role in sorted(before):
        print("%s: %d KiB of its own and %d files, then %d and %d" % (
            role, *before[role], *after[role]))
    print(flush=True)


def around(soak, name, events):
    """What was done shortly before the first and last of what was wrong."""
    for event in (events[0], events[-1]) if events else ():
        print("%s, of %d:" % (name, len(events)), event)
        for when, what in soak.history:
            if -15 < when - event[0] < 5:
                print("%+7.2f s" % (when - event[0]), what)


def main():
    parser = argparse.ArgumentParser(description="see the top of this file")
    parser.add_argument("-m", "--minutes", type=float, default=10)
    parser.add_argument("-s", "--seed", type=int, default=None)
    parser.add_argument("-k", "--kill", type=float, default=5,
                        metavar="SECONDS", help="0: none")
    parser.add_argument("-r", "--rate", type=float, default=100,
                        help="queries/s over UDP of each of the two loads")
    args = parser.parse_args()
    if args.seed is None:
        args.seed = random.SystemRandom().randrange(1 << 31)
    print("seed %d, %g minutes, a kill every %g s, 2 * %g queries/s" % (
        args.seed, args.minutes, args.kill, args.rate), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        with contextlib.ExitStack() as stack:
            broken = soak_all(stack, args, folder)
            if broken:
                sys.stderr.write(
                    (folder / "log").read_text(errors="replace")[-20000:])
    # The daemon has ended here, and has been asked whether its counters add up.
    for name, what in broken:
        shown = what[:5] if isinstance(what, list) else what
        print("BROKEN: %s: %r" % (name, shown))
    if not broken:
        print("all invariants hold")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
