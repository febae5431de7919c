#!/usr/bin/python3 -B
# SPDX-License-Identifier: ISC
"""The table of coverage.sh, from llvm-cov export on standard input."""

import json
import os
import sys

MODULES = ("common", "dotproxy/listener", "dotproxy/pool")


def row(name, lines):
    count = sum(n["count"] for n in lines)
    covered = sum(n["covered"] for n in lines)
    print(f"{name:36}{count:7}{count - covered:9}"
          f"{100 * covered / max(count, 1):8.1f}%")


def main():
    wanted = {os.path.realpath(name): name for name in sys.argv[1:]}
    files = {wanted[f["filename"]]: f["summary"]["lines"]
             for f in json.load(sys.stdin)["data"][0]["files"]
             if f["filename"] in wanted}
    print(f"{'file':36}{'lines':>7}{'missed':>9}{'reached':>9}")
    for name, lines in sorted(files.items()):
        row(name, [lines])
    for module in MODULES:
        row(module + "/", [lines for name, lines in files.items()
                           if name.startswith(module + "/")])
    row("all of these", list(files.values()))


main()
