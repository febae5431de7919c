# SPDX-License-Identifier: ISC
"""
What a query may cost, in things that can be counted on a machine that is
busy with others: requests to the allocator, and system calls.
"""

import os
import pathlib
import signal
import struct
import subprocess

import dns.edns
import pytest

import programs
from dnsclient import eventually, make_query, udp_socket
from programs import DOTPROXY, FILES, is_flawless, load

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may look"),
    pytest.mark.skipif(
        b"__asan_init" in pathlib.Path(DOTPROXY).read_bytes(),
        reason="sanitizers allocate and call as they like"),
]

MARK = b"allocator calls:"


def roles(proxy):
    return {"parent": proxy.process.pid, **proxy.children()}


def allocations(pid):
    """The numbers behind the mark of count_allocs.c in a process's memory."""
    exe = programs.executable(pid)
    with open("/proc/%d/mem" % pid, "rb", buffering=0) as mem:
        for line in pathlib.Path("/proc/%d/maps" % pid).open():
            span, rights, *rest = line.split()
            if not rights.startswith("rw") or rest[-1] != exe:
                continue
            start, end = (int(x, 16) for x in span.split("-"))
            mem.seek(start)
            data = mem.read(end - start)
            at = data.find(MARK)
            if at != -1:
                return dict(zip(("own", "tls"), struct.unpack_from(
                    "QQ", data, at + len(MARK))))
    raise AssertionError("no counter in " + exe)


@pytest.fixture
def counting_proxy(tmp_path, upstream, start_daemon):
    folder = tmp_path / "counting"
    folder.mkdir()
    daemon = programs.Daemon(folder)
    daemon.command = [programs.relink(folder, "count_allocs.c", [], [])]
    daemon.configure(upstream)
    return start_daemon(daemon)


def opened(proxy):
    """TLS connections made so far: each allocates, and is no query."""
    return sum(upstream["opened"]
               for upstream in proxy.ctl_json("show", "pool")["upstreams"])


def padded_query(name, size):
    """A query of this size that takes the largest answer there can be."""
    query = make_query(name, "TXT", edns=65535, id=0)
    room = size - len(query.to_wire()) - 4
    assert room >= 0
    query.use_edns(0, payload=65535,
                   options=[dns.edns.GenericOption(12, b"\0" * room)])
    wire = query.to_wire()
    assert len(wire) == size
    return wire


def run_sizes(proxy, count):
    """Queries of all sizes, eight at a time, for answers of all sizes."""
    wires = [padded_query("size-%d.test" % answer, query)
             for query in (100, 512, 513, 1500, 4096)
             for answer in (300, 1400, 16000, 65000)]
    with udp_socket(proxy.address) as sock:
        for _ in range(0, count, len(wires)):
            for first in range(0, len(wires), 4):
                batch = wires[first:first + 4]
                for wire in batch:
                    sock.send(wire)
                got = sorted(len(sock.recv(65535)) for _ in batch)
                assert got == [300, 1400, 16000, 65000]


def grown(proxy, work):
    """{(role, whose): allocations} during work, in which no connection was made."""
    while True:
        connections = opened(proxy)
        before = {role: allocations(pid) for role, pid in roles(proxy).items()}
        work()
        after = {role: allocations(pid) for role, pid in roles(proxy).items()}
        if opened(proxy) == connections:
            return {(role, whose): after[role][whose] - n
                    for role, counts in before.items()
                    for whose, n in counts.items()}


def outstanding(proxy, depth, count):
    result = load(proxy.address, "-q", str(depth), "-n", str(count))
    assert is_flawless(result), result


def test_nothing_is_allocated_for_a_query(counting_proxy):
    proxy = counting_proxy
    for depth in 800, 400:  # makes the connections and grows the buffers
        outstanding(proxy, depth, 20000)
    run_sizes(proxy, 400)
    many = grown(proxy, lambda: outstanding(proxy, 400, 100000))
    sizes = grown(proxy, lambda: run_sizes(proxy, 8000))
    # A buffer may still have to grow, some ten times in its life.
    for counts in many, sizes:
        assert all(counts[role, "own"] <= 40 for role in FILES), counts


def test_openssl_allocates_four_times_for_a_query_alone(counting_proxy):
    """
    Three times for a record it writes, once for one it reads: the bookkeeping
    of its packet writer, and no way around it.  Batches share records.
    """
    proxy = counting_proxy
    outstanding(proxy, 400, 20000)
    alone = grown(proxy, lambda: outstanding(proxy, 1, 2000))
    assert 1000 <= alone["pool", "tls"] <= 4 * 2000 + 100, alone
    assert all(alone[role, "own"] <= 40 for role in FILES), alone
    many = grown(proxy, lambda: outstanding(proxy, 400, 50000))
    assert many["pool", "tls"] <= 0.4 * 50000, many


def is_traced(pid):
    status = pathlib.Path("/proc/%d/status" % pid).read_text()
    return "TracerPid:\t0\n" not in status


def system_calls(proxy, folder, work):
    """{role: {call: how often}} during work, of all processes."""
    files = {role: folder / ("calls." + role) for role in FILES}
    tracers = []
    for role, pid in roles(proxy).items():
        tracers.append(subprocess.Popen(
            ["strace", "-qq", "-c", "-f", "-U", "calls,name",
             "-o", str(files[role]), "-p", str(pid)]))
        eventually(lambda: is_traced(pid), what="tracer")
    work()
    for tracer in tracers:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(10)
    found = {}
    for role, file in files.items():
        rows = [line.split() for line in file.read_text().splitlines()]
        found[role] = {row[1]: int(row[0]) for row in rows
                       if len(row) == 2 and row[0].isdigit()
                       and row[1] != "total"}
    return found


@pytest.mark.parametrize("depth,count,limit", [
    (400, 50000, 0.3),
    (1, 1000, 12.1)])   # wait, read, write: two processes, there and back
def test_system_calls_of_a_query(proxy, tmp_path, depth, count, limit):
    outstanding(proxy, 400, 20000)
    calls = system_calls(
        proxy, tmp_path, lambda: outstanding(proxy, depth, count))
    table = "\n".join("%-8s %-12s %.4f" % (role, name, n / count)
                      for role in calls for name, n in calls[role].items())
    print(table)
    total = sum(sum(each.values()) for each in calls.values())
    assert calls["listener"] and calls["pool"], table
    assert total / count <= limit, table
