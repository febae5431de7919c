# SPDX-License-Identifier: ISC
"""
A build for arm64, which "make check-arm64" makes and names: what its filters
of system calls allow, and that its processes make no others.  An emulator of
user programs has no seccomp, so filters are read, and calls are watched.
"""

import errno
import os
import pathlib
import re
import shutil
import subprocess
import threading

import pytest

import bpf
from dnsclient import is_right, make_query, tcp, udp
from programs import ROOT, Daemon, run

FOLDER = os.environ.get("DOTPROXY_ARM64", "")
EMULATOR = ["qemu-aarch64-static", "-L", FOLDER + "/root"]

pytestmark = pytest.mark.skipif(
    not FOLDER or os.geteuid() != 0, reason="run by make check-arm64, as root")

ROLES = ["parent", "listener", "pool", "reader", "server"]

# What x86 has beside a later variant is not there on younger machines.
LATER = {"access": "faccessat", "dup2": "dup3", "epoll_wait": "epoll_pwait",
         "mkdir": "mkdirat", "poll": "ppoll", "readlink": "readlinkat",
         "unlink": "unlinkat"}
ONLY_X86 = {"arch_prctl"}


def probe(*args):
    return subprocess.check_output(
        [*EMULATOR, FOLDER + "/tests/probe", *args])


@pytest.fixture(scope="module")
def names():
    lines = probe("names").decode().splitlines()
    return {int(number): name for number, name in map(str.split, lines)}


def load_filter(role):
    return bpf.Filter(probe("export", role), "aarch64")


@pytest.mark.parametrize("role", ROLES)
def test_filter_allows_what_is_listed_and_no_more(role, names):
    listed = (ROOT / "tests/support" / ("syscalls." + role)).read_text()
    expected = set()
    for line in listed.splitlines():
        name, space, conditions = line.partition(" ")
        if name not in ONLY_X86:
            expected.add(LATER.get(name, name) + space + conditions)
    assert load_filter(role).describe(names) == sorted(expected)


@pytest.mark.parametrize("role", ROLES)
def test_what_is_not_allowed_has_one_end(role, names):
    rules = load_filter(role)
    found = set().union(*(rules.denials(number) for number in names))
    assert found == {bpf.ERRNO | errno.ENOSYS if role == "parent"
                     else bpf.KILL_PROCESS}


# Linked in front of all: the moment of confinement shows in what is called.
LOCKED = """
#define _GNU_SOURCE
#include <seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((constructor)) static void
have_all(void)
{
	(void)seccomp_api_set(4);
}

int
seccomp_load(const scmp_filter_ctx ctx)
{
	(void)ctx;
	return (int)syscall(SYS_sched_yield);
}
"""

CHILD = """#!/bin/sh
exec %s -strace -D %s -E LD_PRELOAD=%s %s/libexec/dotproxy/dotproxy-%s "$@"
"""


class Watched:
    """What the processes of one executable call, from a FIFO."""

    def __init__(self, path):
        os.mkfifo(path)
        # Ours, too, so that it does not end with the first of them.
        self.lines = os.fdopen(os.open(path, os.O_RDWR), errors="replace")
        self.locked, self.calls = set(), set()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.lines:
            found = re.match(r"(\d+) ([a-z_0-9]+)\(", line)
            if not found:
                continue
            pid, name = found.groups()
            if name == "sched_yield":
                self.locked.add(pid)
            elif pid in self.locked:
                self.calls.add(name)


class EmulatedDaemon(Daemon):
    """Its processes are the emulator's."""

    def __init__(self, folder):
        super().__init__(folder)
        stub = folder / "locked.so"
        (folder / "locked.c").write_text(LOCKED)
        run("aarch64-linux-gnu-gcc", "--sysroot=%s/root" % FOLDER, "-shared",
            "-fPIC", "-o", str(stub), str(folder / "locked.c"), "-lseccomp",
            check=True)
        self.watched = {}
        (folder / "sbin").mkdir()
        shutil.copy(FOLDER + "/sbin/dotproxy", folder / "sbin")
        for role in "parent", "listener", "pool":
            self.watched[role] = Watched(folder / role)
            if role == "parent":
                continue
            program = folder / "libexec/dotproxy" / ("dotproxy-" + role)
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text(CHILD % (
                " ".join(EMULATOR), folder / role, stub, FOLDER, role))
            program.chmod(0o755)
        # It closes what is open beside its standard error at its start.
        self.command = ["sh", "-c", 'exec "$@" 2>"$0"', str(folder / "parent"),
                        *EMULATOR, "-strace", "-E", "LD_PRELOAD=%s" % stub,
                        str(folder / "sbin/dotproxy")]

    def children(self):
        try:
            shown = self.ctl_json("show", "processes")["processes"]
        except AssertionError:
            return {}
        return {p["role"]: p["pid"] for p in shown if p["role"] != "parent"}


def test_daemon_serves_and_makes_no_other_calls(
        make_upstream, tmp_path, names):
    daemon = EmulatedDaemon(tmp_path)
    daemon.configure(make_upstream(), timeout="9s")
    daemon.start()
    try:
        for ask in udp, tcp:
            query = make_query("www.test")
            assert is_right(query, ask(daemon.address, query))
        daemon.reload()
        daemon.kill_child("pool")
        query = make_query("again.test")
        assert is_right(query, udp(daemon.address, query))
    finally:
        daemon.stop()
    for role, watched in daemon.watched.items():
        allowed = {line.split()[0]
                   for line in load_filter(role).describe(names)}
        assert len(watched.calls) > 5, role
        # The pool is killed: as it was, it calls no more.
        assert watched.calls - allowed == set(), role


@pytest.fixture(scope="module")
def package():
    found, = pathlib.Path(FOLDER, "deb").glob("dotproxy_*_arm64.deb")
    return found


def test_package_is_for_arm64(package, tmp_path):
    fields = run("dpkg-deb", "-f", str(package), check=True).stdout
    assert "\nArchitecture: arm64\n" in fields
    depends = re.search("\nDepends: (.*)", fields).group(1)
    for library in ("libc6", "libcap-ng0", "libevent-core-2.1-7",
                    "libncurses6", "libseccomp2", "libssl3", "libtinfo6",
                    "libtls26", "libyaml-0-2"):
        assert library in depends
    run("dpkg-deb", "-x", str(package), str(tmp_path), check=True)
    programs = ["usr/sbin/dotproxy", "usr/bin/dotproxyctl",
                "usr/libexec/dotproxy/dotproxy-listener",
                "usr/libexec/dotproxy/dotproxy-pool"]
    for program in programs:
        header = (tmp_path / program).read_bytes()[:20]
        assert header[:5] == b"\x7fELF\x02" and header[18] == 183, program
    done = run(*EMULATOR, str(tmp_path / programs[0]), "-n", "-f",
               str(tmp_path / "etc/dotproxy.conf"))
    assert done.stderr == "configuration OK\n"
    assert run(*EMULATOR, str(tmp_path / programs[1]), "--version").stdout


def test_lintian_has_nothing_to_say(package):
    changes, = package.parent.glob("*.changes")
    done = run("lintian", "--allow-root", "--fail-on", "error,warning",
               str(changes), timeout=580)
    assert done.returncode == 0 and not done.stdout, done.stdout + done.stderr
