# SPDX-License-Identifier: ISC
"""docs/CONFORMANCE.md names only tests, files and functions that exist."""

import re

from programs import ROOT

PAGE = (ROOT / "docs/CONFORMANCE.md").read_text()


def sources(*patterns):
    return [path for pattern in patterns for path in ROOT.glob(pattern)]


def test_tests_that_are_named_exist():
    text = "".join(path.read_text() for path in sources("tests/e2e/test_*.py"))
    names = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(names) > 20
    assert {name for name in names if "def %s(" % name not in text} == set()


def test_files_that_are_named_exist():
    files = {path.name for path in sources(
        "dotproxy/*/*", "common/*", "tests/e2e/*", "tests/unit/*")}
    names = set(re.findall(r"`(\w+\.(?:c|h|py))`", PAGE))
    assert len(names) > 10
    assert names - files == set()


def test_functions_that_are_named_exist():
    text = "".join(path.read_text()
                   for path in sources("dotproxy/*/*.c", "common/*.c",
                                       "common/*.h", "dotproxy/*/*.h"))
    names = set(re.findall(r"`(\w+)\(\)`", PAGE))
    assert len(names) > 10
    assert {name for name in names
            if not re.search(r"^(static .*)?%s\(" % name, text, re.M)
            } == set()
