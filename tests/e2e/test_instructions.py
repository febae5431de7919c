# SPDX-License-Identifier: ISC
"""
Instructions a query costs, against tests/bench/instructions.txt.  A change
that moves them does so knowingly: "make record-instructions" writes the file
anew, when they have gone up for a reason, and when they have gone down.
"""

import pathlib
import sys

import pytest

from programs import DOTPROXY, ROOT

sys.path.insert(0, str(ROOT / "tests/bench"))
import instructions    # noqa: E402

# libc chooses its routines by the processor; what is measured is the same
# to a tenth of a per cent otherwise.
TOLERANCE = {"own": 0.03, "libc": 0.15}

pytestmark = pytest.mark.skipif(
    b"__asan_init" in pathlib.Path(DOTPROXY).read_bytes(),
    reason="sanitizers add instructions")


@pytest.mark.parametrize("name", instructions.RUNS)
def test_a_query_costs_what_is_recorded(name):
    toolchain, recorded = instructions.read_baseline()
    if toolchain != instructions.toolchain():
        pytest.skip("recorded with " + toolchain)
    found = instructions.count(name)
    moved = {group: (recorded[name, group], found[group])
             for group, share in TOLERANCE.items()
             if abs(found[group] - recorded[name, group])
             > share * recorded[name, group]}
    assert moved == {}, "make record-instructions, if that is meant"
