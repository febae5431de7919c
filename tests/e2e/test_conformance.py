# SPDX-License-Identifier: ISC
"""The pages that say what a test shows name only what there is."""

import re

import pytest

import test_matrix_upstream
from programs import ROOT

PAGE = (ROOT / "docs/CONFORMANCE.md").read_text()


def sources(*patterns):
    return [path for pattern in patterns for path in ROOT.glob(pattern)]


@pytest.mark.parametrize("page", ["CONFORMANCE.md", "RELIABILITY.md"])
def test_tests_that_are_named_exist(page):
    text = "".join(path.read_text() for path in sources(
        "tests/e2e/test_*.py", "tests/unit/test_*.c"))
    names = set(re.findall(
        r"`(test_\w+)`", (ROOT / "docs" / page).read_text()))
    assert len(names) > 20
    assert {name for name in names
            if "def %s(" % name not in text
            and "\n%s(void **state)" % name not in text} == set()


def test_faults_of_an_upstream_are_all_on_the_page():
    page = (ROOT / "docs/RELIABILITY.md").read_text().lower()
    for name in test_matrix_upstream.FAULTS:
        assert name.split(",")[0].lower() in page, name


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
