# SPDX-License-Identifier: ISC
"""The bench over a far link, so short that it shows no more than its form."""

import json
import os

import pytest

import far
from programs import BUILD, ROOT, run


def test_it_counts_what_each_was_asked():
    if far.why_not():
        pytest.skip(far.why_not())
    done = run("/usr/bin/python3", "-B", str(ROOT / "tests/bench/bench_far.py"),
               "-j", "-c", "loss", "-f", "dotproxy", "plain-udp", "-s", "3",
               timeout=120, env={**os.environ, "DOTPROXY_BUILD": str(BUILD)})
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)["loss"]
    assert set(result) == {"dotproxy", "plain-udp"}
    for counts in result.values():
        assert counts["sent"] == 60
        assert counts["answered"] + counts["lost"] + counts["errors"] == 60
        assert counts["wrong"] == 0
        # A packet there and one back: 2 * 5.65 ms.
        assert 11.3 <= counts["p50_ms"] <= counts["max_ms"]
    assert result["plain-udp"]["connections_per_query"] == 0
