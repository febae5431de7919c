# SPDX-License-Identifier: ISC
"""
The confinement, layer by layer.  What the filters allow is compared with the
lists in tests/support/syscalls.*: who allows more changes those, too.  Then
each denial is tried for real, and each layer below the filter without it.
"""

import errno
import os
import platform
import re
import subprocess

import pytest

import bpf
from programs import BUILD, ROOT, run

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the confinement of one started as root")

PROBE = str(BUILD / "tests/probe")
CHILDREN = ["listener", "pool"]
EXPORTER = ["reader", "server"]
ROLES = ["parent", *CHILDREN, *EXPORTER]


def probe(*args):
    """{what: outcome} of attempts."""
    done = run(PROBE, *args, timeout=120)
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


@pytest.fixture(scope="module")
def names():
    return {int(nr): name for nr, name in probe("names").items()}


def load_filter(role):
    program = subprocess.check_output([PROBE, "export", role])
    return bpf.Filter(program, platform.machine())


def describe(role, names):
    return load_filter(role).describe(names)


@pytest.mark.skipif(platform.machine() != "x86_64",
                    reason="test_arm64.py has those of another")
@pytest.mark.parametrize("role", ROLES)
def test_filter_allows_what_is_listed_and_no_more(role, names):
    golden = ROOT / "tests/support" / ("syscalls." + role)
    assert describe(role, names) == golden.read_text().splitlines()


@pytest.mark.parametrize("role,verdict", [
    ("parent", bpf.ERRNO | errno.ENOSYS),
    *((role, bpf.KILL_PROCESS) for role in CHILDREN + EXPORTER)])
def test_what_is_not_allowed_has_one_end(role, verdict, names):
    rules = load_filter(role)
    found = set().union(*(rules.denials(nr) for nr in names))
    assert found == {verdict}


def test_parent_allows_what_its_children_need(names):
    """Filters are inherited, and add up."""
    parent = {line.split()[0] for line in describe("parent", names)}
    for role in CHILDREN:
        own = {line.split()[0] for line in describe(role, names)}
        assert own <= parent


@pytest.mark.parametrize("role", CHILDREN + EXPORTER)
def test_every_other_system_call_kills_a_child(role, names):
    rules = load_filter(role)
    denied = [str(nr) for nr in names if not rules.allowed(nr)]
    assert len(denied) > 300
    outcomes = probe("try", role, *denied)
    assert set(outcomes) == set(denied)
    survived = {names[int(nr)]: outcome for nr, outcome in outcomes.items()
                if outcome != "signal SYS"}
    assert survived == {}


FORBIDDEN_TO_CHILDREN = [
    "mmap-exec", "mprotect-exec", "bind", "connect", "sendto-address",
    "sendmmsg-fastopen", "new-socket", "kill", "ptrace", "tgkill",
    "tgkill-self", "open", "execve", "fork", "clone-user", "unshare-pid",
    "unshare-user", "setuid", "write-file", "shutdown", "netlink", "packet",
    "setsockopt-level", "setsockopt-name", "tiocsti", "io_uring", "bpf",
    "userfaultfd", "mount",
]


@pytest.mark.parametrize("role,also_forbidden,allowed", [
    ("listener", ["quickack"], ["send", "mmap-data", "sendmmsg"]),
    ("pool", ["sendmmsg"], ["send", "mmap-data", "quickack"]),
    ("server", ["sendmmsg", "quickack"], ["send", "mmap-data"])])
def test_child_may_use_what_it_has_in_one_way(role, also_forbidden, allowed):
    forbidden = FORBIDDEN_TO_CHILDREN + also_forbidden
    if role == "server":    # of its clients' sockets only: it has no others
        forbidden.remove("shutdown")
    else:                   # they write to pipes, so that the limit is what is
        forbidden.remove("write-file")
        assert probe("try", role, "write-file") == {
            "write-file": "signal XFSZ"}
    outcomes = probe("try", role, *forbidden, *allowed)
    assert outcomes == {**dict.fromkeys(forbidden, "signal SYS"),
                        **dict.fromkeys(allowed, "ok")}


def test_reader_reads_and_writes_no_files_but_those_of_proc():
    forbidden = set(FORBIDDEN_TO_CHILDREN + ["sendmmsg", "quickack"])
    # It may connect: to what, is said by what it may make a socket of.
    forbidden -= {"open", "connect", "write-file"}
    assert probe("try", "reader", *forbidden) == dict.fromkeys(
        forbidden, "signal SYS")
    assert probe("try", "reader", "open", "open-proc", "connect") == {
        "open": "errno EACCES", "open-proc": "ok", "connect": "errno EACCES"}


def test_parent_does_not_know_what_it_does_not_need():
    forbidden = ["netlink", "packet", "unshare-pid", "unshare-user",
                 "clone-user", "ptrace", "tiocsti", "io_uring", "bpf",
                 "userfaultfd", "mount", "shutdown", "sendmmsg-fastopen"]
    assert probe("try", "parent", *forbidden) == dict.fromkeys(
        forbidden, "errno ENOSYS")


LAYERS = {
    "open": "errno EACCES",             # Landlock; the root is empty, too
    "bind": "errno EACCES",             # Landlock
    "connect": "errno EACCES",          # Landlock
    "kill": "errno EPERM",              # Landlock: same user
    "ptrace": "errno EPERM",            # Landlock: same user
    "tgkill": "errno EPERM",
    "mprotect-exec": "errno EACCES",    # PR_SET_MDWE
    "fork": "errno EAGAIN",             # RLIMIT_NPROC
    "write-file": "signal XFSZ",        # RLIMIT_FSIZE
    "setuid": "errno EPERM",            # capabilities
    "mount": "errno EPERM",
    "new-socket": "errno ENETUNREACH",  # network namespace
}


@pytest.mark.skipif(not re.match(r"([7-9]|\d\d|6\.(1[2-9]|[2-9]\d))\b",
                                 platform.release()),
                    reason="an older kernel offers fewer layers")
@pytest.mark.parametrize("role", CHILDREN + ["server"])
def test_each_layer_holds_without_the_filter(role):
    assert probe("layers", role, *LAYERS) == LAYERS


@pytest.mark.parametrize("role", CHILDREN)
def test_abort_is_no_forbidden_system_call(role):
    assert probe("try", role, "abort") == {"abort": "signal ABRT"}


def test_openssl_seeds_itself_anew_after_an_hour():
    assert probe("try", "pool", "reseed") == {"reseed": "ok"}
    # And that it did: it cannot without the system call.
    assert probe("without", "getrandom", "pool", "reseed") == {
        "reseed": "signal SYS"}
