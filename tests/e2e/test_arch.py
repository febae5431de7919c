# SPDX-License-Identifier: ISC
"""What is linked into which process, and who may call what: the separation is
checked, not promised."""

import re
import subprocess
from pathlib import Path

import pytest

from programs import BUILD

TOP = Path(__file__).resolve().parents[2]

PARENT = BUILD / "sbin" / "dotproxy"
LISTENER = BUILD / "libexec" / "dotproxy" / "dotproxy-listener"
POOL = BUILD / "libexec" / "dotproxy" / "dotproxy-pool"
CTL = BUILD / "bin" / "dotproxyctl"


def imported(program):
    """Names a program wants from shared libraries, without versions."""
    out = subprocess.run(["nm", "-D", "--undefined-only", str(program)],
                         capture_output=True, text=True, check=True).stdout
    return {line.split()[-1].split("@")[0] for line in out.splitlines()}


def defined(program):
    out = subprocess.run(["nm", "--defined-only", str(program)],
                         capture_output=True, text=True, check=True).stdout
    return {line.split()[-1] for line in out.splitlines()}


def sources(folder):
    return sorted((TOP / folder).glob("*.[chy]"))


def includes(path):
    return re.findall(r'^#include "([^"]+)"', path.read_text(), re.M)


def callers(name):
    """The sources that call a function."""
    return {str(path.relative_to(TOP))
            for folder in ("common", "dotproxy", "dotproxy/parent",
                           "dotproxy/listener", "dotproxy/pool", "dotproxyctl")
            for path in sources(folder)
            if re.search(rf"(?<![\w>.]){name}\(", strip(path.read_text()))}


def strip(text):
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    return re.sub(r'"(?:\\.|[^"\\])*"', '""', text)


def test_parent_has_no_tls_and_no_dns():
    assert not {n for n in imported(PARENT) if re.match(r"tls_|SSL_|X509", n)}
    assert not {n for n in defined(PARENT) if re.match(r"dns_(?!.*conf)", n)}


def test_listener_has_no_tls_and_opens_nothing():
    names = imported(LISTENER)
    assert not {n for n in names if re.match(r"tls_|SSL_|X509", n)}
    assert not names & {"socket", "bind", "listen", "connect", "open",
                        "openat", "execve", "fork"}


def test_pool_makes_and_accepts_no_sockets():
    assert not imported(POOL) & {"socket", "bind", "listen", "connect",
                                 "accept", "accept4", "execve", "fork"}


@pytest.mark.parametrize("process", ["parent", "listener", "pool"])
def test_process_includes_only_its_own_headers(process):
    folder = f"dotproxy/{process}"
    for path in sources(folder):
        for name in includes(path):
            assert (name.startswith(("common/", f"{folder}/")) or
                    name == "dotproxy/sandbox.h"), (path, name)


def test_common_includes_only_common():
    for path in sources("common"):
        for name in includes(path):
            assert name.startswith("common/"), (path, name)


def test_only_the_parent_makes_sockets():
    assert callers("socket") == {"dotproxy/parent/sockets.c",
                                 "dotproxy/parent/connect.c",
                                 "dotproxy/parent/notify.c",
                                 "dotproxy/parent/syslog.c",
                                 "dotproxyctl/client.c",
                                 "dotproxyctl/exporter_listen.c"}
    assert callers("bind") == {"dotproxy/parent/sockets.c",
                               "dotproxyctl/exporter_listen.c"}
    assert callers("accept4") == {"dotproxy/listener/tcp.c",
                                  "dotproxy/listener/control.c",
                                  "dotproxyctl/exporter_server.c"}


def test_descriptors_are_passed_in_messages_and_to_the_manager():
    users = {str(p.relative_to(TOP)) for p in TOP.glob("**/*.c")
             if "tests" not in p.parts and "build" not in p.parts and
             "SCM_RIGHTS" in strip(p.read_text())}
    assert users == {"common/imsg.c", "dotproxy/parent/notify.c"}


def test_hardened_build():
    """Position independent, all relocations resolved at start, no stack that
    can be executed."""
    for program in (PARENT, LISTENER, POOL, CTL):
        out = subprocess.run(["readelf", "-Wdl", str(program)],
                             capture_output=True, text=True, check=True).stdout
        assert "PIE" in out, program
        assert re.search(r"FLAGS_1.*NOW", out), program
        assert "GNU_RELRO" in out, program
        assert re.search(r"GNU_STACK.* RW ", out), program
