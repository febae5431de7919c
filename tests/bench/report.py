# SPDX-License-Identifier: ISC
"""
Medians over the quieter runs, tables of them, and the targets beside them.
"""

import statistics

import loads
from peers import FLOOR, OURS

COUNTS = ("sent", "right", "errors", "wrong", "lost")
FIGURES = ("cpu_us", "qps", "p50", "p90", "p99", "p999", "mean")
HEADS = {"cpu_us": "CPU µs", "qps": "queries/s", "p50": "p50", "p90": "p90",
         "p99": "p99", "p999": "p99.9", "mean": "mean", "pss_kib": "PSS MiB"}
# A forwarder that answers less than this share is nobody's measure.
RIGHT_SHARE = 0.99


def _median(values):
    values = [float("inf") if v is None else v for v in values]
    middle = statistics.median(values)
    return None if middle == float("inf") else middle


def _quiet(runs):
    """The half of which the machine's host has taken the least time: whoever
    it was that ran meanwhile, it tells nothing about the forwarder."""
    return sorted(runs, key=lambda run: run["stolen"])[:(len(runs) + 1) // 2]


def stolen(results):
    """The host's share of the time of all runs: per core, 0 to 1."""
    return statistics.mean(
        run["stolen"] for by_name in results.values()
        for runs in by_name.values() for run in runs)


def summary(results, memory):
    """{load: {forwarder: medians of the figures over the quieter half of its
    runs, sums of the counts over all}}"""
    out = {}
    for load, by_name in results.items():
        for name, runs in by_name.items():
            one = {key: _median([run[key] for run in _quiet(runs)])
                   for key in FIGURES if key in runs[0]}
            one["pss_kib"] = memory[load][name]
            for key in (*COUNTS, "upstream"):
                found = [run[key] for run in runs]
                one[key] = None if None in found else sum(found)
            out.setdefault(load, {})[name] = one
    return out


def _peers(table, load, key):
    return [one[key] for name, one in table[load].items()
            if name not in (OURS, FLOOR) and one.get(key) is not None
            and one["right"] >= RIGHT_SHARE * one["sent"]]


def _target(table, load, key, what, factor, of):
    """One line of the table of targets, or None if it was not measured."""
    if OURS not in table.get(load, {}):
        return None
    if of == "floor":
        others = [table[load][FLOOR][key]] if FLOOR in table[load] else []
    else:
        others = _peers(table, load, key)
    others = [value for value in others if value is not None]
    measured = table[load][OURS][key]
    if not others:
        return None
    base = (statistics.median if of == "median peer" else min)(others)
    return {
        "what": "%s, %s" % (loads.describe(load), what),
        "target": "<= %.2f x %s" % (factor, of), "base": base,
        "measured": measured,
        "ratio": measured / base if measured is not None and base else None,
        "met": measured is not None and measured <= factor * base,
    }


def targets(table):
    wanted = [
        ("q400", "cpu_us", "CPU", 1.6, "floor"),
        ("q400", "cpu_us", "CPU", 0.40, "best peer"),
        ("q20", "cpu_us", "CPU", 0.60, "best peer"),
        ("q1", "p50", "p50", 1.0, "median peer"),
        ("r1000", "p50", "p50", 1.15, "best peer"),
        ("r1000", "p99", "p99", 1.15, "best peer"),
        ("r10000", "p50", "p50", 1.15, "best peer"),
        ("r10000", "p99", "p99", 1.15, "best peer"),
        ("r10000", "cpu_us", "CPU", 1.0, "best peer"),
    ]
    lines = [_target(table, *one) for one in wanted]
    return [line for line in lines if line is not None]


def _number(key, value):
    if value is None:
        return "-"
    if key == "pss_kib":
        return "%.1f" % (value / 1024)
    if key in (*COUNTS, "qps", "upstream") or value >= 1000:
        return "{:,.0f}".format(value)
    return "%.1f" % value


def _table(rows, markdown):
    """Rows of text, the first being the head."""
    if markdown:
        rows = [rows[0], ["---"] + ["--:"] * (len(rows[0]) - 1), *rows[1:]]
        return "".join("| %s |\n" % " | ".join(row) for row in rows)
    width = [max(map(len, column)) for column in zip(*rows)]
    return "".join(
        "  ".join([row[0].ljust(width[0])]
                  + [cell.rjust(n) for cell, n in zip(row[1:], width[1:])])
        .rstrip() + "\n" for row in rows)


def _load_table(load, by_name, versions, markdown):
    latency = ("mean",) if load.startswith("d") else loads.PERCENTILES
    keys = ["cpu_us", "qps", *latency, "pss_kib", *COUNTS, "upstream"]
    rows = [["forwarder"] + [HEADS.get(key, key) for key in keys]]
    for name, one in by_name.items():
        label = ("%s %s" % (name, versions[name])).strip()
        if markdown and name == OURS:
            label = "**%s**" % label
        rows.append([label] + [_number(key, one.get(key)) for key in keys])
    head = loads.describe(load)
    head = "### %s\n\n" % head if markdown else "%s\n" % head
    return head + _table(rows, markdown) + "\n"


def _target_table(lines, markdown):
    rows = [["what", "target", "of", "measured", "ratio", "met"]]
    for line in lines:
        ratio = line["ratio"]
        rows.append([line["what"], line["target"],
                     _number("p50", line["base"]),
                     _number("p50", line["measured"]),
                     "-" if ratio is None else "%.2f" % ratio,
                     "yes" if line["met"] else "NO"])
    head = "### Targets\n\n" if markdown else "Targets\n"
    return head + _table(rows, markdown)


def text(result, markdown):
    """Everything, to be read, or to be pasted into docs/PERFORMANCE.md."""
    out = ("%s, Linux %s, %d cores, load average before %.1f, %.1f %% of the "
           "time\nstolen by the host; medians over the quieter half of %d "
           "rounds of %g s; CPU per\nright answer and latency in µs; counts "
           "are sums over all rounds.\n\n" % (
               result["date"], result["kernel"], result["cores"],
               result["load_average"], 100 * result["stolen"],
               result["rounds"], result["seconds"]))
    for load, by_name in result["loads"].items():
        out += _load_table(load, by_name, result["versions"], markdown)
    if result["targets"]:
        out += _target_table(result["targets"], markdown)
    return out
