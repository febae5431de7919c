# SPDX-License-Identifier: ISC
"""The configuration language: what it takes, and how it says no."""

import os

import pytest

from programs import DOTPROXY, ROOT, free_port, run, upstream_block

LISTEN = "listen on 127.0.0.1\n"

UPSTREAM = """upstream "one" {
	address 127.0.0.1
	server name "dot.test"
}
"""

FULL = """
# A file with some of everything.
lan = "192.168.0.0/16"
secs = "4s"
user "nobody"
control socket "/tmp/dotproxy-test.sock"
listen on 127.0.0.1
listen on ::1 port 5353
listen on 127.0.0.2 port 5354 tcp
allow { 127.0.0.0/8, ::1, $lan, \\
    10.0.0.0/8 }
policy failover
retries 3
query timeout $secs
client {
	tcp read timeout 5s
	tcp write timeout 1500ms
	max inflight 100
	max tcp connections 10
}
upstream "one" {
	address 127.0.0.1 port 8853
	server name "dot.test"
	pool size 2
	connect timeout 1s
	handshake timeout 2s
	read timeout 5s
	write timeout 5s
	stale timeout 10s
	pin "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	pin "sha256/BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA="
}
upstream "two" {
	address ::1
	server name "two.test"
}
metrics statsd 127.0.0.1 port 8125 sample rate 0.5
"""


def write(folder, text, name="dotproxy.conf"):
    file = folder / name
    file.write_text(text)
    return file


def check(file, *args):
    return run(DOTPROXY, "-n", "-f", str(file), *args)


def test_full_file_is_accepted(tmp_path):
    done = check(write(tmp_path, FULL))
    assert done.returncode == 0, done.stderr


def test_printed_configuration_parses_to_itself(tmp_path):
    printed = check(write(tmp_path, FULL), "-v")
    assert printed.returncode == 0, printed.stderr
    again = check(write(tmp_path, printed.stdout, "again.conf"), "-v")
    assert again.returncode == 0, again.stderr
    assert again.stdout == printed.stdout
    for word in ("failover", "dot.test", "two.test", "192.168.0.0/16",
                 "sha256/AAAA"):
        assert word in printed.stdout


def test_example_of_the_distribution_is_accepted(tmp_path):
    text = (ROOT / "etc/dotproxy.conf").read_text()
    done = check(write(tmp_path, text))
    assert done.returncode == 0, done.stderr


def test_what_the_example_has_as_a_comment_is_accepted(tmp_path):
    text = (ROOT / "etc/dotproxy.conf").read_text()
    _, begin, block = text.partition('#upstream "home"')
    lines = [line[1:] for line in (begin + block).splitlines()
             if "client certificate" not in line]   # is not there
    done = check(write(tmp_path, "\n".join(["listen on ::1", *lines, ""])))
    assert begin
    assert done.returncode == 0, done.stderr


ERRORS = {
    "unknown keyword": "nonsense",
    "unknown client keyword": "client { nonsense 5 }",
    "bad listen address": "listen on 300.1.2.3",
    "host name to listen on": "listen on localhost",
    "duplicate listen": "listen on 127.0.0.1 port 53",
    "port out of range": "listen on 127.0.0.3 port 65536",
    "port zero": "listen on 127.0.0.3 port 0",
    "bad prefix": "allow { 127.0.0.0/33 }",
    "bad prefix of IPv6": "allow { ::1/129 }",
    "bad duration": "query timeout 5parsecs",
    "negative duration": "query timeout -1s",
    "endless duration": "query timeout 99999999999999999999s",
    "too long a timeout": "query timeout 10000s",
    "too short a timeout": "query timeout 0s",
    "too many retries": "retries 100000",
    "unknown policy": "policy best",
    "no inflight": "client { max inflight 0 }",
    "inflight out of range": "client { max inflight 100000000 }",
    "undefined macro": "listen on $nowhere",
    "unterminated string": 'user "nobody',
    "include that is not there": 'include "/nonexistent/file"',
}

UPSTREAM_ERRORS = {
    "unknown upstream keyword": "nonsense 5",
    "pool size zero": "pool size 0",
    "pool size out of range": "pool size 100000",
    "bad upstream address": "address 1.2.3",
    "upstream port out of range": "address 127.0.0.1 port 70000",
    "bad pin": 'pin "sha256/short="',
    "pin of another hash": 'pin "md5/AAAAAAAAAAAAAAAAAAAAAA=="',
    "bad timeout": "read timeout fast",
}


@pytest.mark.parametrize("what", ERRORS)
def test_error_names_file_and_line(tmp_path, what):
    file = write(tmp_path, LISTEN + ERRORS[what] + "\n" + UPSTREAM)
    done = check(file)
    assert done.returncode == 1
    assert "%s:2" % file in done.stderr, done.stderr


@pytest.mark.parametrize("what", UPSTREAM_ERRORS)
def test_error_in_upstream_names_file_and_line(tmp_path, what):
    broken = UPSTREAM.replace("}", UPSTREAM_ERRORS[what] + "\n}")
    file = write(tmp_path, LISTEN + broken)
    done = check(file)
    assert done.returncode == 1
    assert "%s:5" % file in done.stderr, done.stderr


@pytest.mark.parametrize("what,text", [
    ("no upstream", ""),
    ("no address", 'upstream "one" {\n\tserver name "a.test"\n}\n'),
    ("no server name", 'upstream "one" {\n\taddress 127.0.0.1\n}\n'),
    ("two upstreams of one name", UPSTREAM + UPSTREAM),
    ("open block", 'upstream "one" {\n\taddress 127.0.0.1\n'),
])
def test_incomplete_file_is_refused(tmp_path, what, text):
    file = write(tmp_path, LISTEN + text)
    done = check(file)
    assert done.returncode == 1
    assert str(file) in done.stderr


def test_error_in_an_included_file_names_that_file(tmp_path):
    part = write(tmp_path, "\nnonsense\n", "part.conf")
    file = write(tmp_path, 'include "%s"\n' % part + LISTEN + UPSTREAM)
    done = check(file)
    assert done.returncode == 1
    assert "%s:2" % part in done.stderr


def test_file_that_includes_itself_is_refused(tmp_path):
    file = tmp_path / "dotproxy.conf"
    write(tmp_path, 'include "%s"\n' % file + LISTEN + UPSTREAM)
    done = check(file)
    assert done.returncode == 1
    assert done.stderr.strip()


def test_included_file_counts(tmp_path):
    part = write(tmp_path, LISTEN + UPSTREAM, "part.conf")
    done = check(write(tmp_path, 'include "%s"\n' % part))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["dotproxy.conf", "part.conf"])
def test_file_which_others_may_write_is_refused(tmp_path, name):
    part = write(tmp_path, UPSTREAM, "part.conf")
    file = write(tmp_path, LISTEN + 'include "%s"\n' % part)
    assert check(file).returncode == 0
    os.chmod(tmp_path / name, 0o666)
    done = check(file)
    assert done.returncode == 1
    assert str(tmp_path / name) in done.stderr


def test_file_that_is_not_there(tmp_path):
    done = check(tmp_path / "nothing.conf")
    assert done.returncode == 1
    assert "nothing.conf" in done.stderr


@pytest.mark.parametrize("content", [None, "no certificate\n"])
def test_bad_ca_file_stops_the_start(tmp_path, content):
    ca = tmp_path / "ca.pem"
    if content is not None:
        ca.write_text(content)
    file = write(tmp_path, 'control socket "%s"\n' % (tmp_path / "ctl")
                 + "listen on 127.0.0.1 port %d\n" % free_port()
                 + upstream_block("one", 8853, ca))
    done = run(DOTPROXY, "-d", "-f", str(file))
    assert done.returncode == 1
    assert str(ca) in done.stderr


def test_macro_of_the_command_line_wins(tmp_path):
    file = write(tmp_path, 'where = "127.0.0.7"\nlisten on $where\n'
                 + UPSTREAM)
    printed = check(file, "-v", "-D", "where=127.0.0.9")
    assert printed.returncode == 0, printed.stderr
    assert "127.0.0.9" in printed.stdout
    assert "127.0.0.7" not in printed.stdout
