# SPDX-License-Identifier: ISC
"""Processes the benchmark starts, what they cost, and their certain end."""

import ctypes
import os
import pathlib
import random
import signal
import socket
import subprocess
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LIBC = ctypes.CDLL(None)


def adopt_orphans():
    """What our children leave behind becomes ours, and so is found again."""
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def free_port():
    """A port free for UDP and TCP, below those the kernel hands out."""
    for port in random.sample(range(10000, 32000), 100):
        try:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                with socket.socket(socket.AF_INET, kind) as sock:
                    sock.bind(("127.0.0.1", port))
            return port
        except OSError:
            continue
    raise RuntimeError("no free port")


def start(args, core, **kw):
    """Starts a program on one core; ^C reaches us alone, and our end it."""
    return subprocess.Popen(
        args, start_new_session=True,
        preexec_fn=lambda: (os.sched_setaffinity(0, {core}),
                            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)),
        **kw)


def descendants(pid):
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text()
        except OSError:
            continue
        state, parent = text.rpartition(")")[2].split()[:2]
        if state not in "XZ":
            parents.setdefault(int(parent), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        below = parents.get(todo.pop(), [])
        found += below
        todo += below
    return found


def stop(process):
    """Ends a program, and whatever it has forked."""
    below = descendants(process.pid)
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    ours = set(descendants(os.getpid()))
    for pid in below:
        if pid in ours:
            os.kill(pid, signal.SIGKILL)
    for pid in below:
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            pass
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def cpu_ns(pid):
    """CPU time of all threads of a process and of all below it, by thread."""
    spent = {}
    for one in [pid, *descendants(pid)]:
        for task in pathlib.Path("/proc/%d/task" % one).glob("*/schedstat"):
            try:
                spent[str(task)] = int(task.read_text().split()[0])
            except (OSError, IndexError):
                continue
    return spent


def cpu_between(before, after):
    return sum(ns - before.get(task, 0) for task, ns in after.items())


def stolen_s():
    """Time in which this machine would have run, but its host did not let it:
    seconds, all cores together."""
    with open("/proc/stat") as stat:
        return int(stat.readline().split()[8]) / os.sysconf("SC_CLK_TCK")


def pss_kib(pid):
    """Memory of a process and all below it; None if we may not see it."""
    total = 0
    for one in [pid, *descendants(pid)]:
        try:
            text = pathlib.Path("/proc/%d/smaps_rollup" % one).read_text()
        except OSError:
            return None
        for line in text.splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total


def eventually(condition, what, seconds=15):
    """Waits for a condition; RuntimeError if it does not come true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError("gave up waiting for " + what)
        time.sleep(0.05)
