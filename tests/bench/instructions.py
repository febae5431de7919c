#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""
Instructions a query costs in the listener and the pool, counted by callgrind:
the same on an idle machine and a busy one.  With -r the figures are written
to instructions.txt beside this file, which test_instructions.py compares.

Counted are our own code with libevent's, and libc's.  libtls, libssl and
libcrypto are not in the comparison: what they run depends on the processor
and on their version.  So does a little of libc.
"""

import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BASELINE = HERE / "instructions.txt"
BUILD = pathlib.Path(os.environ.get("DOTPROXY_BUILD",
                                    HERE.parents[1] / "build"))

# name: program, arguments before the number of queries, that number
RUNS = {
    "udp-32": ("count_listener", ["udp", "32", "0", "1"], 3200),
    "udp-1": ("count_listener", ["udp", "1", "0", "1"], 500),
    "tcp-32": ("count_listener", ["tcp", "32", "0", "1"], 3200),
    "tcp-1": ("count_listener", ["tcp", "1", "0", "1"], 500),
    "pool-32": ("count_pool", ["failover", "32", "0", "1"], 3200),
    "pool-1": ("count_pool", ["failover", "1", "0", "1"], 500),
}
GROUPS = {"libevent": "own", "libc.": "libc", "libtls": "tls",
          "libssl": "tls", "libcrypto": "tls", "ld-linux": "libc"}


def group_of(path):
    name = os.path.basename(path)
    for start, group in GROUPS.items():
        if name.startswith(start):
            return group
    return "own" if name.startswith("count_") else "other"


def read_costs(text):
    """{group: instructions} of a callgrind.out file."""
    names, costs = {}, {}
    group, called = "other", False
    for line in text.splitlines():
        if line.startswith("ob="):
            number, name = re.match(r"ob=(\(\d+\))(?: (.*))?", line).groups()
            names.setdefault(number, name)
            group = group_of(names[number])
        elif line.startswith("cob="):
            number, name = re.match(r"cob=(\(\d+\))(?: (.*))?", line).groups()
            names.setdefault(number, name)
        elif line.startswith("calls="):
            called = True   # the next line is what was called
        elif line[:1] in "+-*0123456789" and line:
            if not called:
                costs[group] = costs.get(group, 0) + int(line.split()[1])
            called = False
    return costs


def run(program, args, queries):
    """{group: instructions} of so many queries."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "out"
        subprocess.run(
            ["valgrind", "-q", "--tool=callgrind", "--compress-strings=yes",
             "--instr-atstart=no", "--collect-atstart=no",
             "--toggle-collect=count_turn",
             "--callgrind-out-file=%s" % out,
             str(BUILD / "tests" / program), *args, str(queries)],
            check=True, stdout=subprocess.DEVNULL, timeout=200)
        return read_costs(out.read_text())


def count(name):
    """{group: instructions a query} of a run."""
    program, args, queries = RUNS[name]
    return {group: round(n / queries)
            for group, n in run(program, args, queries).items()}


def count_more(program, args, queries):
    """{group: instructions a query}, of as many again: what comes once is
    in both counts."""
    once, twice = (run(program, args, n) for n in (queries, 2 * queries))
    return {group: (twice[group] - once[group]) / queries for group in once}


def toolchain():
    """What the figures hold for: compilers, libc, machine."""
    done = subprocess.run(
        ["readelf", "-p", ".comment", str(BUILD / "tests/count_pool")],
        check=True, text=True, capture_output=True)
    found = re.findall(r"\]\s+(.*)", done.stdout)
    return "%s, %s %s, %s" % (", ".join(sorted(found)), *platform.libc_ver(),
                              platform.machine())


def read_baseline():
    """The toolchain, and {(name, group): instructions}."""
    first, *lines = BASELINE.read_text().splitlines()
    found = {}
    for line in lines:
        if line and not line.startswith("#"):
            name, group, n = line.split()
            found[name, group] = int(n)
    return first[2:], found


def main():
    lines = ["# " + toolchain(),
             "# Instructions a query, written by instructions.py -r."]
    for name in RUNS:
        costs = count(name)
        print(name, costs, flush=True)
        lines += ["%s %s %d" % (name, group, costs[group])
                  for group in ("own", "libc")]
    if "-r" in sys.argv[1:]:
        BASELINE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
