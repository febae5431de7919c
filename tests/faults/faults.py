#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""
Makes calls of the daemon's processes fail, one in a run, and judges what came
of it: fault.c does the failing, fault_points.py says which calls there are to
fail, fault_runs.py and fault_tools.py have the processes.  How many calls there
are is counted in a run without a fault.

Whatever fails, the daemon answers, degrades, or ends with a reason; and when
nothing fails any more it serves as before.  It is never less confined than it
says.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import json
import pathlib
import sys
import tempfile
import time

from fault_points import describe, plan, sample
from fault_runs import ROLES, Run, Surroundings, check
from fault_tools import Exporter, Tool


def judge_point(around, point):
    if point.role in ROLES:
        run = Run(around, point)
    elif point.role == "exporter":
        run = Exporter(around, point)
    else:
        run = Tool(around, point.role, point)
    began = time.monotonic()
    try:
        outcome, detail = run.whole()
        site = run.site()
    finally:
        run.clean_up()
    return {"point": describe(point), "outcome": outcome,
            "detail": detail, "site": site, "log": run.log,
            "seconds": round(time.monotonic() - began, 2)}


def dry_run(around):
    """Runs without a fault; returns {role: {function: calls}}."""
    run = Run(around)
    try:
        run.start()
        run.exercise()
        check(not run.degraded, "without a fault: %r\n%s" % (
            run.degraded, run.daemon.log()))
        run.recover()
        most = run.descriptors()
        status = run.finish()
        check(run.judge_log(status) == "answered", run.daemon.log())
        counts = {}
        for role, state in run.states.items():
            calls = state.calls()
            around.index[role] = {name: i for name, (i, _) in calls.items()}
            counts[role] = {
                name: n for name, (_, n) in calls.items() if n > 0}
        around.fds = most
        return counts
    finally:
        run.clean_up()


def dry_tools(around):
    """The same for what runs beside a daemon."""
    counts = {}
    for name in around.tools:
        tool = Tool(around, name)
        done = tool.run()
        check(done.returncode == 0, done.stdout + done.stderr)
        # What /proc does not show is left out of these.
        around.lines[name] = (3 if name == "processes"
                              else done.stdout.count("\n"))
        counts[name] = tool.state.calls()
        tool.clean_up()
    other = Exporter(around)
    try:
        check(other.judge() == "answered", other.log)
        counts["exporter"] = other.state.calls()
    finally:
        other.clean_up()
    for role, calls in counts.items():
        around.index[role] = {name: i for name, (i, _) in calls.items()}
    return {role: {name: n for name, (_, n) in calls.items() if n > 0}
            for role, calls in counts.items()}


@contextlib.contextmanager
def surroundings():
    with tempfile.TemporaryDirectory(prefix="faults-pki.") as folder:
        around = Surroundings(pathlib.Path(folder))
        try:
            yield around
        finally:
            around.stop()


def run_all(around, points, jobs):
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(judge_point, around, p) for p in points]
        for done in concurrent.futures.as_completed(waiting):
            yield done.result()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-j", "--jobs", type=int, default=4)
    parser.add_argument("-r", "--role")
    parser.add_argument("-f", "--function", action="append")
    parser.add_argument("-n", "--sample", type=int)
    parser.add_argument("-o", "--output", help="all results, as JSON")
    parser.add_argument("-l", "--list", action="store_true")
    parser.add_argument("-v", "--verbose", action="store_true")
    args = parser.parse_args()
    began = time.monotonic()
    with surroundings() as around:
        counts = {**dry_run(around), **dry_tools(around)}
        points = [p for p in plan(counts)
                  if args.role in (None, p.role)
                  and (not args.function or p.function in args.function)]
        if args.sample:
            points = sample(points, args.sample)
        print("%d points" % len(points), flush=True)
        if args.list:
            for key, n in sorted(collections.Counter(
                    (p.role, p.function) for p in points).items()):
                print("%s %s: %d of %d calls" % (
                    *key, n, counts[key[0]][key[1]]))
            return 0
        results = []
        for result in run_all(around, points, args.jobs):
            results.append(result)
            if args.verbose or result["outcome"] == "BAD":
                print("%(outcome)s: %(point)s [%(site)s] %(seconds)s s: "
                      "%(detail)s" % result, flush=True)
    outcomes = collections.Counter(r["outcome"] for r in results)
    for outcome, n in outcomes.most_common():
        print("%6d %s" % (n, outcome))
    print("%d s" % (time.monotonic() - began))
    if args.output:
        pathlib.Path(args.output).write_text(json.dumps(results, indent=1))
    return 1 if outcomes["BAD"] else 0


if __name__ == "__main__":
    sys.exit(main())
