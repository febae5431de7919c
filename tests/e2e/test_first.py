# SPDX-License-Identifier: ISC
"""
First contact: what can be wrong when somebody starts dotproxy for the first
time.  Each has one line, which says what it is and what to do.
"""

import os
import pathlib
import re
import shutil
import socket
import sys
import threading

import pytest

from dnsclient import eventually, is_right, is_servfail, make_query, udp
from programs import (BUILD, DOTPROXY, Daemon, free_port, run,
                      upstream_block)

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root, for namespaces")

LACKING = str(pathlib.Path(__file__).with_name("lacking.py"))
CA_BUNDLE = "/etc/ssl/certs"

# A machine where nothing has run yet, with no network but lo.
FRESH = """
set -e
mount -t tmpfs -o mode=755 tmpfs /run
ip link set lo up
%s
exec "$@"
"""

CONF = """
listen on 127.0.0.1
upstream "one" {
	address 192.0.2.1
	server name "dot.test"
	%s
}
"""


def on_fresh(setup="", *command):
    return ("unshare", "--mount", "--net", "--propagation", "private", "sh",
            "-c", FRESH % setup, "sh", *command)


@pytest.fixture
def conf(tmp_path, pki):
    file = tmp_path / "dotproxy.conf"
    file.write_text('user "nobody"\n' + CONF % ('ca file "%s"' % pki.ca))
    return file


def refused(conf, setup="", command=(), dotproxy=DOTPROXY):
    """The one line that a start which must not succeed says."""
    done = run(*on_fresh(setup, *command, dotproxy, "-f", str(conf)))
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_no_configuration(tmp_path):
    file = tmp_path / "none.conf"
    said = refused(file)
    assert said.startswith("%s: No such file or directory: write it" % file)
    assert "dotproxy.conf(5)" in said and "-f" in said


def test_empty_configuration(tmp_path):
    (tmp_path / "conf").write_text("")
    done = run(DOTPROXY, "-n", "-f", str(tmp_path / "conf"))
    assert 'no listen: add one, "listen on 127.0.0.1"' in done.stderr
    assert "no upstream: add one" in done.stderr


@pytest.mark.parametrize("owner,mode,said", [
    (0, 0o602, "group or world writable: chmod go-w it"),
    (65534, 0o600, "owner not root or current user: chown it")])
def test_configuration_that_others_can_change(conf, owner, mode, said):
    conf.chmod(mode)
    os.chown(conf, owner, 0)
    assert refused(conf) == "%s: %s" % (conf, said)


def test_no_such_user(conf):
    conf.write_text(conf.read_text().replace('"nobody"', '"_none"'))
    said = refused(conf)
    assert 'user "_none" does not exist: create it' in said
    assert "useradd --system --shell /usr/sbin/nologin _none)" in said


def test_no_such_address(conf):
    conf.write_text(conf.read_text().replace("127.0.0.1", "192.0.2.7"))
    said = refused(conf)
    assert "192.0.2.7:53/udp" in said and "take the line out" in said
    assert "freebind" in said


def test_no_address_of_ipv6(conf):
    conf.write_text("listen on ::1\n" + conf.read_text())
    off = "echo 1 >/proc/sys/net/ipv6/conf/%s/disable_ipv6\n"
    said = refused(conf, off % "all" + off % "lo")
    assert "[::1]:53/udp" in said and "take the line out" in said


def test_no_ipv6_in_the_kernel(conf):
    conf.write_text("listen on ::1\n" + conf.read_text())
    said = refused(conf, command=(sys.executable, LACKING, "ipv6"))
    assert "[::1]:53/udp" in said and "has no IPv6: take the line out" in said


def test_no_certificates(conf):
    conf.write_text('user "nobody"\n' + CONF % "")
    hide = "mount -t tmpfs tmpfs " + CA_BUNDLE
    said = refused(conf, hide)
    assert re.match(r"%s:\d+: ca file %s/" % (conf, CA_BUNDLE), said)
    assert "install the package ca-certificates" in said
    # What is named by the administrator is no package's.
    conf.write_text('user "nobody"\n' + CONF % 'ca file "/none.pem"')
    assert "install" not in refused(conf, hide)


def test_run_that_cannot_be_written_to(conf):
    said = refused(conf, "mount -o remount,ro /run")
    assert "/run/dotproxy" in said and "mount a tmpfs at /run" in said


@pytest.mark.parametrize("setup", [
    "mkdir -p /run/dotproxy/empty/something",
    "mkdir -p /run/dotproxy/empty; chown nobody /run/dotproxy/empty",
    "mkdir -p /run/dotproxy/empty; chmod 777 /run/dotproxy/empty"])
def test_root_directory_that_is_not_empty_and_roots(conf, setup):
    said = refused(conf, setup)
    assert "/run/dotproxy/empty: must be an empty directory" in said
    assert "remove it" in said


def test_file_in_place_of_the_run_directory(conf):
    said = refused(conf, "touch /run/dotproxy")
    assert "cannot make the directory /run/dotproxy/empty" in said


def test_no_directory_for_the_control_socket(conf):
    text = conf.read_text()
    conf.write_text('control socket "/run/none/ctl"\n' + text)
    said = refused(conf)
    assert "control socket /run/none/ctl: " in said
    assert "make the directory, or name another" in said


def test_second_instance(tmp_path, make_proxy, upstream):
    proxy = make_proxy(upstream)
    second = tmp_path / "second.conf"
    text = proxy.file.read_text()
    second.write_text(text)
    done = run(DOTPROXY, "-f", str(second))
    assert done.returncode == 1
    assert "dotproxy (pid %d) has it: stop that" % proxy.process.pid in (
        done.stderr)
    # Other ports, but the same control socket.
    second.write_text(text.replace(
        " port %d\n" % proxy.port, " port %d\n" % free_port(), 2))
    done = run(DOTPROXY, "-f", str(second))
    assert done.returncode == 1
    assert "in use (by another dotproxy: stop or reload that" in done.stderr
    query = make_query("www.test")
    assert is_right(query, udp(proxy.address, query))


@pytest.mark.parametrize("missing", ["listener", "pool"])
def test_half_an_installation(conf, tmp_path, missing):
    for part in "sbin", "libexec":
        shutil.copytree(BUILD / part, tmp_path / part)
    gone = tmp_path / "libexec/dotproxy" / ("dotproxy-" + missing)
    gone.unlink()
    said = refused(conf, dotproxy=str(tmp_path / "sbin/dotproxy"))
    assert "cannot execute %s, install dotproxy again" % gone in said


@pytest.fixture
def start(tmp_path, start_daemon):
    """Makes a daemon that runs on a machine of its own."""
    def make(setup, *upstreams, command=(), **env):
        prefix = (*on_fresh(setup), *command)
        if env:
            prefix = ("env", *("%s=%s" % item for item in env.items()),
                      *prefix)
        daemon = Daemon(tmp_path, prefix)
        daemon.configure(*upstreams, listen=["127.0.0.1 port %d" %
                                             daemon.port])
        return start_daemon(daemon)
    return make


NO_ANSWER = """
ip link add out0 type veth peer name end0
ip address add 192.0.2.2/24 dev out0
ip link set out0 up
ip link set end0 up
ip neighbour add 192.0.2.1 lladdr 02:00:00:00:00:01 dev out0
"""


@pytest.mark.parametrize("setup,said", [
    ("", "Network is unreachable"),
    (NO_ANSWER, "timed out"),
    ("ip address add 192.0.2.1/32 dev lo", "Connection refused")])
def test_upstream_that_is_not_reached(start, pki, setup, said):
    """Nobody has to ask, and who asks does not have it said again."""
    daemon = start(setup, upstream_block(
        "one", 853, pki.ca, address="192.0.2.1"))
    eventually(lambda: "warn" in daemon.log(), what="a warning")
    inside = ("nsenter", "-n", "-t", str(daemon.process.pid))
    for _ in range(2):
        done = run(*inside, "dig", "@127.0.0.1", "-p", str(daemon.port),
                   "+tries=1", "+time=8", "x.test")
        assert "SERVFAIL" in done.stdout
    warnings = [line for line in daemon.log().splitlines() if "warn" in line]
    assert len(warnings) == 1, warnings
    assert ('upstream "one" (192.0.2.1:853): connect: %s (is there a route, '
            "and does the firewall let TCP port 853 out?)" % said
            ) in warnings[0]


def test_upstream_that_speaks_something_else(make_proxy, pki):
    with socket.create_server(("127.0.0.1", 0)) as server:
        def speak():
            conn, _ = server.accept()
            conn.recv(1)
            conn.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            conn.close()

        threading.Thread(target=speak, daemon=True).start()
        port = server.getsockname()[1]
        proxy = make_proxy(upstream_block("one", port, pki.ca))
        eventually(lambda: "(does it speak DNS over TLS at port %d?)" % port
                   in proxy.log(), what="a warning")


def test_environment_does_not_say_whom_to_trust(make_upstream, make_proxy,
                                                pki, monkeypatch):
    upstream = make_upstream()
    monkeypatch.setenv("SSL_CERT_FILE", pki.ca)
    monkeypatch.setenv("SSL_CERT_DIR", os.path.dirname(pki.ca))
    stranger = upstream.block("one").replace(pki.ca, pki.stranger.cert)
    proxy = make_proxy(stranger)
    assert is_servfail(udp(proxy.address, make_query("www.test")))
    assert "chain: " in proxy.log()
    assert upstream.stats()["queries"] == 0


def test_kernel_without_landlock(upstream, tmp_path, start_daemon):
    daemon = Daemon(tmp_path, (sys.executable, LACKING, "landlock"))
    daemon.configure(upstream)
    start_daemon(daemon)
    query = make_query("www.test")
    assert is_right(query, udp(daemon.address, query))
    for role in "listener", "pool":
        assert daemon.log().count(
            "%s: not on offer here: Landlock\n" % role) == 1
