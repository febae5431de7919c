# SPDX-License-Identifier: ISC
"""
What a query costs does not grow with what there is beside it: queries in
flight, upstreams, clients.  Instructions are counted, not time, so that this
holds on a busy machine, too; in batches of the same size for each connection,
so that what a batch costs is shared by as many.
"""

import functools
import pathlib
import sys

import pytest

from programs import DOTPROXY, ROOT

sys.path.insert(0, str(ROOT / "tests/bench"))
import instructions    # noqa: E402

LIMIT = 1.3    # times what it costs where there is little
GROUPS = "own", "libc"
HANDSHAKE = 4_000_000    # instructions, at most; 2.7 million were seen

# name: program, how many queries, arguments for little and for much
CASES = {
    "listener: 10,000 queries in flight": (
        "count_listener", 400, "udp 20 100 1", "udp 20 10000 1"),
    "listener: 1,000 TCP clients": (
        "count_listener", 1000, "tcp 10 0 10", "tcp 10 0 1000"),
    "pool: 10,000 queries in flight": (
        "count_pool", 400, "failover 20 100 1", "failover 20 10000 1"),
    "pool: 64 upstreams, the first is used": (
        "count_pool", 400, "failover 20 100 1", "failover 20 100 64"),
    "pool: 64 upstreams, all are used": (
        "count_pool", 1024, "round-robin 16 0 1", "round-robin 1024 0 64"),
}

pytestmark = pytest.mark.skipif(
    b"__asan_init" in pathlib.Path(DOTPROXY).read_bytes(),
    reason="sanitizers add instructions")


@functools.lru_cache
def cost(program, args, queries):
    return instructions.count_more(program, args.split(), queries)


@pytest.mark.parametrize("name", CASES)
def test_a_query_costs_the_same_beside(name):
    program, queries, little, much = CASES[name]
    small = cost(program, little, queries)
    large = cost(program, much, queries)
    print(name, small, large)
    assert small["own"] > 500    # something was counted
    groups = GROUPS
    # On a slow machine there may be a handshake among the turns, one of all:
    # what libc does for that is not a query's.
    more = (large.get("tls", 0) - LIMIT * small.get("tls", 0)) * queries
    if 0 < more < HANDSHAKE:
        groups = "own",
    grown = {group: (small[group], large[group]) for group in groups
             if large[group] > LIMIT * small[group]}
    assert grown == {}
