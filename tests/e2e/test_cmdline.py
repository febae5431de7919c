# SPDX-License-Identifier: ISC
"""The command lines of dotproxy and dotproxyctl."""

import os
import re

import pytest

from programs import CTL, DOTPROXY, run

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
