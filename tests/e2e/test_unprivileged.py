# SPDX-License-Identifier: ISC
"""Started without root, or with less of root than usual: it works, and says
what is missing."""

import os
import pathlib
import pwd
import shutil
import tempfile

import pytest

from dnsclient import is_right, make_query, tcp, udp
from programs import BUILD, Daemon, run

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="becomes others, which needs root")

NOBODY = pwd.getpwnam("nobody")


def status(pid, name):
    for line in pathlib.Path("/proc/%d/status" % pid).read_text().splitlines():
        if line.startswith(name + ":"):
            return line.split(":", 1)[1].split()
    raise KeyError(name)


def namespace(pid, kind):
    return os.readlink("/proc/%d/ns/%s" % (pid, kind))


@pytest.fixture
def folder():
    """A place which others than root can reach, the programs in it."""
    with tempfile.TemporaryDirectory(prefix="dotproxy-test-") as name:
        top = pathlib.Path(name)
        top.chmod(0o755)
        for part in "sbin", "libexec":
            shutil.copytree(BUILD / part, top / part)
        work = top / "work"
        work.mkdir()
        os.chown(work, NOBODY.pw_uid, NOBODY.pw_gid)
        yield top


@pytest.fixture
def start(folder, pki, upstream, start_daemon):
    def make(*prefix, settings=""):
        shutil.copy(pki.ca, folder / "work" / "ca.pem")
        (folder / "work" / "ca.pem").chmod(0o644)
        daemon = Daemon(folder / "work")
        block = upstream.block("up").replace(
            str(pki.ca), str(folder / "work" / "ca.pem"))
        daemon.configure(block, settings=settings)
        daemon.file.chmod(0o644)
        daemon.command = [*prefix, str(folder / "sbin" / "dotproxy")]
        return start_daemon(daemon)
    return make


def serves(daemon):
    query = make_query("www.test")
    return (is_right(query, udp(daemon.address, query)) and
            is_right(query, tcp(daemon.address, query)))


def as_nobody():
    return ["setpriv", "--reuid", str(NOBODY.pw_uid),
            "--regid", str(NOBODY.pw_gid), "--clear-groups"]


def test_a_user_can_start_it(start):
    daemon = start(*as_nobody())
    assert serves(daemon)
    assert "not started as root" in daemon.log()
    daemon.reload()
    daemon.kill_child("pool")
    assert serves(daemon)


@pytest.mark.parametrize("role", ["listener", "pool"])
def test_a_users_child_has_a_user_namespace_and_nothing_in_it(start, role):
    daemon = start(*as_nobody())
    pid = daemon.child(role)
    if namespace(pid, "user") == namespace(daemon.process.pid, "user"):
        pytest.skip("this kernel denies users a namespace")
    for kind in "net", "ipc", "uts", "mnt":
        assert namespace(pid, kind) != namespace(daemon.process.pid, kind)
    for kind in "Inh", "Prm", "Eff", "Bnd", "Amb":
        assert int(status(pid, "Cap" + kind)[0], 16) == 0
    assert status(pid, "Seccomp") == ["2"]
    assert status(pid, "NoNewPrivs") == ["1"]
    root = "/proc/%d/root" % pid
    assert os.listdir(root) == []
    assert os.stat(root).st_nlink == 0  # nothing can be made in it


def test_without_namespaces_it_works_and_says_so(start):
    daemon = start("setpriv", "--bounding-set", "-sys_admin",
                   "--inh-caps", "-sys_admin")
    assert serves(daemon)
    assert "namespaces" in daemon.log()
    for role in "listener", "pool":
        pid = daemon.child(role)
        assert int(status(pid, "CapBnd")[0], 16) == 0
        assert status(pid, "Seccomp") == ["2"]
        assert os.listdir("/proc/%d/root" % pid) == []


def test_parent_keeps_no_capability_its_configuration_does_not_need(start):
    daemon = start()
    effective = int(status(daemon.process.pid, "CapEff")[0], 16)
    assert effective == int(status(daemon.process.pid, "CapBnd")[0], 16)
    net_bind_service = 1 << 10
    assert effective & net_bind_service == 0  # no port below 1024
    more = daemon.file.read_text() + "listen on 127.0.0.97 port 97\n"
    daemon.file.write_text(more)
    done = daemon.ctl("reload")
    assert done.returncode == 1
    assert "stop it and start it" in done.stderr
    assert serves(daemon)


def test_low_port_without_root_says_what_it_takes(folder):
    daemon = Daemon(folder / "work")
    # Any below the limit, which a machine may have set lower.
    if int(pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
           .read_text()) <= 77:
        pytest.skip("users may have low ports here")
    daemon.configure(listen=["127.0.0.9 port 77"], settings=(
        'upstream "one" {\naddress 192.0.2.1\nserver name "a.test"\n}'))
    daemon.file.chmod(0o644)
    done = run("setpriv", "--reuid=nobody", "--clear-groups",
               str(folder / "sbin/dotproxy"), "-d", "-f", str(daemon.file))
    assert done.returncode == 1
    assert "a port below 1024 takes root" in done.stderr
