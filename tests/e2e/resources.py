# SPDX-License-Identifier: ISC
"""What a process takes: processor and memory."""

import os
import pathlib
import re

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids):
    """Of all of them, since they began."""
    ticks = 0
    for pid in pids:
        text = pathlib.Path("/proc/%d/stat" % pid).read_text()
        ticks += sum(map(int, text.rpartition(")")[2].split()[11:13]))
    return ticks / TICKS


def resident_kib(pid):
    text = pathlib.Path("/proc/%d/status" % pid).read_text()
    return int(re.search(r"VmRSS:\s*(\d+)", text).group(1))
