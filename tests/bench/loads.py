# SPDX-License-Identifier: ISC
"""
The loads.  "q400" keeps 400 queries outstanding, "r1000" has 1,000 fall due a
second, both by tests/bench/load.c, which compares every answer with its query.
"dq100" and "dr10000" are the same by dnsperf, which looks at RCODEs only and
tells an average latency.
"""

import json
import os
import re
import subprocess

import process

DOMAIN = "q.example.org"  # not below .test, which some answer themselves
DEFAULT = ("q1", "q20", "q100", "q400", "r100", "r1000", "r10000",
           "dq100", "dr10000")
# More than an upstream on the same core can serve.
DNSPERF_RATE_MAX = 150000
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}


def describe(load):
    kind, number = re.fullmatch(r"(d?[qr])(\d+)", load).groups()
    text = "{:,} {}".format(
        int(number), "outstanding" if kind[-1] == "q" else "queries/s")
    return text + (", dnsperf" if kind[0] == "d" else "")


def is_valid(load):
    return re.fullmatch(r"d?[qr][1-9]\d{0,5}", load) is not None


def run(load, port, seconds, core, build, folder):
    """Returns the counts and the latencies in microseconds of one run."""
    if load.startswith("d"):
        return _run_dnsperf(load[1:], port, seconds, core, folder)
    args = ["-r", load[1:], "-q", "20000"] if load[0] == "r" else [
        "-q", load[1:]]
    text = _output([str(build / "tests/load"), "-j", "-d", DOMAIN, "-p",
                    str(port), "-T", str(seconds), *args], seconds, core)
    found = json.loads(text)
    lost = found["lost"] / max(found["sent"], 1)
    result = {
        "sent": found["sent"], "right": found["answered"],
        "errors": found["errors"], "lost": found["lost"],
        "wrong": found["wrong"] + found["duplicate"],
        # Waiting for what is lost is no time of service.
        "qps": found["answered"] / min(found["seconds"], seconds)
        if found["seconds"] else 0,
    }
    for name, share in PERCENTILES.items():
        # The lost took for ever; they are not to flatter the rest.
        result[name] = found[name + "_us"] if lost < 1 - share else None
    return result


def _output(args, seconds, core):
    child = process.start(args, core, stdout=subprocess.PIPE, text=True)
    try:
        text, _ = child.communicate(timeout=seconds + 30)
    finally:
        process.stop(child)
    return text


def _run_dnsperf(load, port, seconds, core, folder):
    number = int(load[1:])
    rate = number if load[0] == "r" else DNSPERF_RATE_MAX
    names = folder / "names"
    word = os.urandom(4).hex()
    with open(names, "w") as out:
        for i in range(int(rate * (seconds + 1))):
            out.write("%08x.%s.%s A\n" % (i, word, DOMAIN))
    limit = ["-Q", str(number), "-q", "20000"] if load[0] == "r" else [
        "-q", str(number)]
    text = _output(["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d",
                    str(names), "-n", "1", "-l", str(max(1, round(seconds))),
                    "-W", "-O", "suppress=timeout", *limit], seconds, core)
    names.unlink()

    def number_after(label):
        found = re.search(re.escape(label) + r"\s+([\d.]+)", text)
        return float(found.group(1)) if found else 0.0

    codes = re.search(r"Response codes:(.*)", text)
    right = re.search(r"NOERROR (\d+)", codes.group(1)) if codes else None
    completed = int(number_after("Queries completed:"))
    right = int(right.group(1)) if right else 0
    return {
        "sent": int(number_after("Queries sent:")), "right": right,
        "errors": completed - right, "lost":
        int(number_after("Queries lost:")), "wrong": None,
        "qps": number_after("Queries per second:"),
        "mean": number_after("Average Latency (s):") * 1e6,
    }
