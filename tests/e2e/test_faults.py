# SPDX-License-Identifier: ISC
"""
Calls that fail: some of the points of tests/faults/faults.py, always the same
ones, and those behind each weakness that was found.  `make faults` does all.
"""

import errno
import os
import pathlib
import sys

import pytest

from programs import ROOT, SANITIZED

sys.path.insert(0, str(ROOT / "tests/faults"))
import faults       # noqa: E402
from fault_points import Point, plan, sample    # noqa: E402

pytestmark = [
    pytest.mark.skipif(
        os.geteuid() != 0, reason="the confinement of one started as root"),
    pytest.mark.skipif(
        SANITIZED, reason="sanitizers allocate and call as they like"),
]

JOBS = 3
SAMPLE = 45
STARTED = {"answered", "degraded", "respawned"}
ENDED = "ended with a reason"


@pytest.fixture(scope="module")
def around():
    with faults.surroundings() as around:
        around.counts = {**faults.dry_run(around), **faults.dry_tools(around)}
        yield around


def judge(around, role, function, nth, err=errno.ENOMEM, life=0, forever=0):
    result = faults.judge_point(
        around, Point(role, function, nth, err, forever, life))
    assert result["outcome"] not in ("BAD", "not reached"), result
    return result


def judge_all(around, role, function, calls, err=errno.ENOMEM):
    """What is in the log when these calls fail, one in a run."""
    results = list(faults.run_all(around, [
        Point(role, function, nth, err, 0, 0) for nth in calls], JOBS))
    assert [r for r in results if r["outcome"] == "BAD"] == []
    return [r["log"] for r in results]


def test_a_sample_of_all_points(around):
    points = sample(plan(around.counts), SAMPLE)
    results = list(faults.run_all(around, points, JOBS))
    assert [r for r in results if r["outcome"] == "BAD"] == []
    reached = [r for r in results if r["outcome"] != "not reached"]
    assert len(reached) > SAMPLE * 3 // 4


CONFINING = ["chroot", "unshare", "setresuid", "setresgid", "setgroups",
             "capset", "setrlimit"]


@pytest.mark.parametrize("role", ["listener", "pool"])
def test_confinement_that_fails_is_fatal(around, role):
    points = [Point(role, function, 1, errno.ENOMEM, 0, 0)
              for function in CONFINING]
    # seccomp(2) goes through syscall(), Landlock before it; libseccomp asks it
    # what the kernel can, and does without.
    points += [Point(role, "syscall", n, errno.ENOMEM, 0, 0)
               for n in range(1, around.counts[role]["syscall"] + 1)]
    filtered = []
    for result in faults.run_all(around, points, JOBS):
        if "libseccomp" in result["site"]:
            filtered.append(result["outcome"])
            if result["outcome"] == "answered":     # and confined, see there
                continue
        assert result["outcome"] == ENDED, result
        assert "error: %s: " % role in result["log"]
    assert ENDED in filtered


def test_confinement_that_fails_in_a_new_life_is_fatal(around):
    """And the parent goes on."""
    for role in ("listener", "pool"):
        result = judge(around, role, "chroot", 1, errno.EPERM, life=2,
                       forever=1)
        assert result["outcome"] == "respawned"
        assert "error: %s: chroot" % role in result["log"]


@pytest.mark.parametrize("nth", [1, 20, 34])
def test_bounding_set_that_is_not_cut_is_fatal(around, nth):
    """libcap-ng says nothing of it."""
    result = judge(around, "parent", "prctl", nth, errno.EPERM)
    assert result["outcome"] == ENDED
    assert "capabilities were not given up" in result["log"]


@pytest.mark.parametrize("role", ["listener", "pool"])
def test_no_other_loop_than_epoll(around, role):
    """libevent would take poll(), at which the filter kills."""
    result = judge(around, role, "epoll_create1", 1, errno.EMFILE)
    assert result["outcome"] == ENDED
    assert "event loop" in result["log"]


@pytest.mark.parametrize("function", ["epoll_ctl", "event_add"])
@pytest.mark.parametrize("role", ["listener", "pool"])
def test_nothing_is_forgotten_that_cannot_be_watched(around, role, function):
    last = around.counts[role][function]
    judge_all(around, role, function,
              [*range(2, 6), last // 2, last // 2 + 1], errno.ENOSPC)


# How many calls at the most come after the first fork.
FORKED = {"dup2": 8, "close_range": 1, "open": 12}


@pytest.mark.parametrize("function", FORKED)
def test_new_process_without_its_descriptors_is_named(around, function):
    last = around.counts["parent"][function]
    # Those before the fork, or of the configuration, are others.
    texts = judge_all(around, "parent", function, range(
        max(1, last - FORKED[function]), last + 1), errno.EMFILE)
    assert any("cannot prepare the descriptors of dotproxy-" in text
               for text in texts)


@pytest.mark.parametrize("role", ["listener", "pool"])
def test_child_without_memory_to_start_with_is_named(around, role):
    result = judge(around, role, "calloc", 1)
    assert result["outcome"] == ENDED
    assert "no memory for dotproxy-" + role in result["log"]


@pytest.mark.parametrize("role,text", [
    ("parent", ": killed: receiving failed"),
    ("listener", "died: channel failed, of dotproxy-listener"),
    ("pool", "died: channel failed, of dotproxy-pool")])
def test_channel_that_fails_is_named(around, role, text):
    result = judge(around, role, "recvmsg", 3, errno.ENOMEM)
    assert text in result["log"]


def test_client_list_without_memory_is_not_the_parents_fault(around):
    texts = judge_all(around, "listener", "calloc", range(12, 30))
    assert any("out of memory" in text for text in texts)
    assert not any("not understood" in text for text in texts)


@pytest.mark.parametrize("function", [
    "tls_config_set_alpn", "tls_config_set_ca_mem"])
def test_tls_without_words_for_its_failure_is_named(around, function):
    result = judge(around, "pool", function, 1)
    assert 'upstream "one": out of memory' in result["log"]


def test_exporter_whose_channel_fails_ends(around):
    """It would wait for the server's end, and the server for it."""
    texts = judge_all(around, "exporter", "recv", range(1, 9))
    assert any("channel to the server: receiving failed" in text
               for text in texts)


def test_library_is_loaded_for_nobody_else():
    """What is installed knows nothing of it."""
    for path in (ROOT / "common", ROOT / "dotproxy", ROOT / "dotproxyctl"):
        for file in pathlib.Path(path).rglob("*.[ch]"):
            assert "LD_PRELOAD" not in file.read_text()
