# SPDX-License-Identifier: ISC
"""The command lines of dotproxy and dotproxyctl."""

import contextlib
import os
import re
import signal
import socket
import subprocess

import pytest

from dnsclient import eventually, is_right, make_query, udp
from programs import CTL, DOTPROXY, Daemon, run

CONF = """
listen on 127.0.0.1
upstream "one" {
	address 127.0.0.1
	server name "dot.test"
}
"""


@pytest.fixture
def conf(tmp_path):
    file = tmp_path / "some.conf"
    file.write_text(CONF)
    return str(file)


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(option):
    done = run(DOTPROXY, option)
    assert done.returncode == 0
    assert re.search(r"dotproxy.*\d", done.stdout + done.stderr)


@pytest.mark.parametrize("program", [DOTPROXY, CTL])
def test_help(program):
    done = run(program, "--help")
    assert done.returncode == 0
    assert "usage" in (done.stdout + done.stderr).lower()


@pytest.mark.parametrize("args", [
    ("-x",), ("--nonsense",), ("-f",), ("--verbosity", "loud"), ("extra",),
    ("-D", "novalue")])
def test_bad_usage(conf, args):
    done = run(DOTPROXY, "-n", "-f", conf, *args)
    assert done.returncode != 0
    assert done.stderr.strip()


def test_check_is_silent_about_the_content(conf):
    done = run(DOTPROXY, "-n", "-f", conf)
    assert done.returncode == 0
    assert "upstream" not in done.stdout


@pytest.mark.parametrize("options", [("-nv",), ("-n", "-v")])
def test_check_prints_when_verbose(conf, options):
    done = run(DOTPROXY, *options, "-f", conf)
    assert done.returncode == 0
    assert 'upstream "one"' in done.stdout


def test_long_options(conf):
    for level in "error", "warn", "info", "debug":
        done = run(DOTPROXY, "-n", "--config", conf, "--verbosity", level)
        assert done.returncode == 0, done.stderr


def test_file_named_by_the_environment(conf):
    env = dict(os.environ, DOTPROXY_CONFIG=conf)
    assert run(DOTPROXY, "-n", env=env).returncode == 0
    env["DOTPROXY_CONFIG"] = conf + "-not"
    done = run(DOTPROXY, "-n", env=env)
    assert done.returncode == 1
    assert conf + "-not" in done.stderr
    assert run(DOTPROXY, "-n", "-f", conf, env=env).returncode == 0


def test_port_that_is_taken_stops_the_start(make_proxy, upstream, tmp_path):
    proxy = make_proxy(upstream)
    file = tmp_path / "second.conf"
    file.write_text(proxy.file.read_text().replace("/ctl", "/ctl2"))
    done = run(DOTPROXY, "-d", "-f", str(file))
    assert done.returncode == 1
    assert str(proxy.port) in done.stderr
    assert proxy.ctl("show", "summary").returncode == 0


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_process_that_has_the_port_is_named(tmp_path, upstream, kind):
    with socket.socket(socket.AF_INET, kind) as taken:
        daemon = Daemon(tmp_path)
        taken.bind(("127.0.0.1", daemon.port))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        said = refused_start(tmp_path, upstream, daemon)
    assert "(pid %d) has it" % os.getpid() in said


def refused_start(folder, upstream, daemon=None):
    """What a start says that must not succeed."""
    daemon = daemon or Daemon(folder)
    daemon.configure(upstream)
    done = run(DOTPROXY, "-d", "-f", str(daemon.file), timeout=10)
    assert done.returncode == 1
    return done.stderr


def test_control_socket_left_behind_is_replaced(tmp_path, upstream):
    daemon = Daemon(tmp_path)
    daemon.configure(upstream)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(daemon.socket))
    daemon.start()
    daemon.stop()


def test_control_socket_of_a_busy_daemon_is_left_alone(tmp_path, upstream):
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(tmp_path / "ctl"))
        living.listen(0)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "ctl"))    # its backlog is full
            assert "in use" in refused_start(tmp_path, upstream)
    assert (tmp_path / "ctl").is_socket()


def test_file_in_place_of_the_control_socket_is_left_alone(tmp_path, upstream):
    (tmp_path / "ctl").write_text("precious")
    assert "exists" in refused_start(tmp_path, upstream)
    assert (tmp_path / "ctl").read_text() == "precious"


@contextlib.contextmanager
def in_background(daemon, file):
    """Starts it without -d; its PID, until it is ended."""
    # No pipe: in a sanitized build the children hold on to stderr.
    started = subprocess.run([DOTPROXY, "-f", file], cwd=daemon.folder,
                             timeout=30, stderr=subprocess.DEVNULL)
    assert started.returncode == 0
    shown = daemon.ctl_json("show", "processes")["processes"]
    pid = {p["role"]: p["pid"] for p in shown}["parent"]
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: not os.path.exists("/proc/%d" % pid), what="end")


def test_background_start_ends_when_it_serves(tmp_path, upstream):
    daemon = Daemon(tmp_path)
    daemon.configure(upstream)
    with in_background(daemon, str(daemon.file)) as pid:
        query = make_query("www.test")
        assert is_right(query, udp(daemon.address, query))
        assert os.getsid(pid) == pid


def test_link_to_the_file_is_followed_at_each_reload(tmp_path, upstream):
    """In the background, too, where the directory is another by then."""
    daemon = Daemon(tmp_path)
    for i in 1, 2:
        daemon.configure(settings='retries %d\ninclude "up.conf"' % i)
        (tmp_path / str(i)).mkdir()
        daemon.file.rename(tmp_path / str(i) / "conf")
    (tmp_path / "up.conf").write_text(upstream.block("up"))
    daemon.file.symlink_to("1/conf")
    with in_background(daemon, daemon.file.name):
        daemon.reload()
        assert "retries 1\n" in daemon.ctl("show", "config").stdout
        daemon.file.unlink()
        daemon.file.symlink_to("2/conf")
        daemon.reload()
        assert "retries 2\n" in daemon.ctl("show", "config").stdout


def test_background_start_that_fails_says_why(tmp_path, upstream):
    junk = tmp_path / "junk.pem"
    junk.write_text("-----BEGIN CERTIFICATE-----\njunk\n")
    daemon = Daemon(tmp_path)
    daemon.configure(upstream.block("up").replace(
        str(upstream.pki.ca), str(junk)))
    done = run(DOTPROXY, "-f", str(daemon.file))
    assert done.returncode == 1
    assert "no usable certificate" in done.stderr
