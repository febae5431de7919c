# SPDX-License-Identifier: ISC
"""The benchmark's driver, for a moment, and what its client takes as right."""

import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import zlib

import pytest

from dnsclient import eventually
from programs import BUILD, ROOT, descendants, is_alive, load

BENCH = [sys.executable, "-B", str(ROOT / "tests/bench/bench.py"),
         "-b", str(BUILD), "-f", "dotproxy,echo"]
LOADS = ["q1", "q20", "r1000"]


@pytest.fixture
def tmp_path():
    """A short path: there is a limit to that of a socket in it."""
    with tempfile.TemporaryDirectory() as folder:
        yield pathlib.Path(folder)


def bench(tmp_path, *args):
    done = subprocess.run(
        [*BENCH, "-r", "2", "-s", "0.2", "-l", ",".join(LOADS), *args],
        env={**os.environ, "TMPDIR": str(tmp_path)}, text=True, timeout=100,
        capture_output=True)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())
    return done.stdout


def check_run(name, load_name, one):
    assert one["sent"] == one["right"] > 0
    assert one["errors"] == one["wrong"] == one["lost"] == 0
    # Nothing comes from a cache, what is slow may be asked twice, and the
    # floor has no upstream.
    if name == "dotproxy":
        assert one["sent"] <= one["upstream"] < 2 * one["sent"]
    else:
        assert one["upstream"] == 0
    assert one["cpu_us"] > 0 and one["qps"] > 0
    assert 0 < one["p50"] <= one["p90"] <= one["p99"] <= one["p999"]
    if load_name == "r1000":
        assert 150 <= one["sent"] <= 201


def test_all_figures_are_there_and_the_counts_are_right(tmp_path):
    result = json.loads(bench(tmp_path, "-j"))
    assert list(result["runs"]) == LOADS
    for load_name, by_name in result["runs"].items():
        assert list(by_name) == ["dotproxy", "echo"]
        for name, runs in by_name.items():
            assert len(runs) == 2
            for one in runs:
                check_run(name, load_name, one)
            total = result["loads"][load_name][name]
            assert total["right"] == sum(one["right"] for one in runs)
            assert total["pss_kib"] != 0
            # Of two runs, the one that was disturbed less.
            quieter = min(runs, key=lambda one: one["stolen"])
            assert total["cpu_us"] == quieter["cpu_us"]


def test_tables_are_complete(tmp_path):
    saved = tmp_path / "saved"
    work = tmp_path / "w"
    work.mkdir()
    saved.write_text(bench(work, "-j"))
    text = bench(work, "-m", "-i", str(saved))
    for head in ("### 1 outstanding", "### 20 outstanding",
                 "### 1,000 queries/s"):
        assert head in text
    assert text.count("| **dotproxy** |") == text.count("| echo |") == 3


def test_an_interrupt_leaves_nothing_behind(tmp_path):
    process = subprocess.Popen(
        [*BENCH, "-l", "q1", "-s", "60"], text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        # A shell ignores it for what runs in the background, as we may.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    try:
        # The upstream, the daemon with its children, and the client.
        pids = eventually(
            lambda: (lambda found: found if len(found) >= 5 else None)(
                descendants(process.pid)), seconds=30, what="the bench")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.wait()
    eventually(lambda: not any(map(is_alive, pids)), what="end of all")
    assert not list(tmp_path.iterdir())


def record(owner, name, kind=1, address=0):
    crc = zlib.crc32(name.lower()) ^ address
    return owner + struct.pack("!HHIHI", kind, 1, 300, 4, crc)


OPT = b"\0\0\x29\4\xd0" + bytes(6)
ANSWERS = {
    "pointer": (lambda n: record(b"\xc0\x0c", n), 0, "answered"),
    "whole name": (lambda n: record(n, n), 0, "answered"),
    "whole name, OPT": (lambda n: record(n, n) + OPT, 1, "answered"),
    "other address": (lambda n: record(n, n, address=1), 0, "wrong"),
    "other type": (lambda n: record(n, n, kind=28), 0, "wrong"),
    "other owner": (lambda n: record(b"\1x" + n[2:], n), 0, "wrong"),
    "other pointer": (lambda n: record(b"\xc0\x15", n), 0, "wrong"),
    "cut": (lambda n: record(n, n)[:-1], 0, "wrong"),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_client_takes_what_answers_its_query(answer):
    make, additional, verdict = ANSWERS[answer]

    def serve(sock):
        for _ in range(20):
            query, client = sock.recvfrom(512)
            sock.sendto(
                query[:2] + b"\x81\x80\0\1\0\1\0\0" + bytes([0, additional])
                + query[12:] + make(query[12:-4]), client)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(10)
        thread = threading.Thread(target=serve, args=(sock,))
        thread.start()
        result = load(sock.getsockname(), "-n", "20", "-q", "5")
        thread.join()
    assert result[verdict] == result["sent"] == 20


def test_cost_of_metrics_is_told(tmp_path):
    done = subprocess.run(
        [sys.executable, "-B", str(ROOT / "tests/bench/bench_metrics.py"),
         "-b", str(BUILD), "-r", "1", "-s", "0.2", "-l", "q20"],
        env={**os.environ, "TMPDIR": str(tmp_path)}, text=True, timeout=100,
        capture_output=True)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())
    found = [line.split(" %")[0].split() for line in done.stdout.splitlines()
             if " % (" in line]
    assert len(found) == 5
    for line in found:
        sent, right, wrong, lost = line[-7:-3]
        assert sent == right != "0" and wrong == lost == "0"
