# SPDX-License-Identifier: ISC
"""In the place of the dotproxy written in Go, with its configuration file."""

import os
import signal
import subprocess

import pytest

from dnsclient import eventually, is_right, make_query, tcp, udp
from programs import DOTPROXY, Daemon, run

# Every key there is.
EXAMPLE = """
application:
  sentry_dsn: ""

metrics:
  statsd:
    addr: udp://127.0.0.1:{statsd}
    sample_rate: 0.5

listener:
  tcp:
    addr: 127.0.0.1:{port}
    read_timeout: 3s
    write_timeout: 1.5s
  udp:
    addr: 127.0.0.1:{port}
    read_timeout: 1s
    write_timeout: 1s
    max_concurrent_connections: 16

upstream:
  load_balancing_policy: HistoricalConnections
  max_connection_retries: 3
  servers:
    - addr: 127.0.0.1:{upstream}
      server_name: dot.test
      connection_pool_size: 4
      connect_timeout: 1s
      handshake_timeout: 2s
      read_timeout: 1s500ms
      write_timeout: 1s
      stale_timeout: 1m
"""

# The file has neither a control socket nor authorities: the daemon gets a
# /run of its own, and finds ours where the system's are.
INSIDE = """
mount -t tmpfs none /run &&
mount --bind {ca} /etc/ssl/certs/ca-certificates.crt && exec "$@"
"""


class Successor(Daemon):
    """What the original's service is, with another program in its place."""

    def __init__(self, folder, pki):
        super().__init__(folder, ["unshare", "-m", "sh", "-c",
                                  INSIDE.format(ca=pki.ca), "sh"])
        self.file = folder / "config.yaml"

    def write(self, upstream, text=EXAMPLE):
        self.file.write_text(text.format(
            port=self.port, upstream=upstream.port, statsd=9))

    def start(self, *args, env=()):
        with open(self.log_file, "a") as log:
            self.process = subprocess.Popen(
                [*self.command, *args], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env=dict(os.environ, **dict(env)))
        self.socket = ("/proc/%d/root/run/dotproxy/dotproxy.sock"
                       % self.process.pid)
        eventually(self._ready, what="daemon")
        self.first_children = self.children()


@pytest.fixture
def successor(tmp_path, pki, upstream):
    if os.geteuid() != 0:
        pytest.skip("mounts files of its own")
    daemon = Successor(tmp_path, pki)
    daemon.write(upstream)
    yield daemon
    daemon.stop()


@pytest.fixture
def example(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(EXAMPLE.format(port=5353, upstream=853, statsd=8125))
    return file


def serves(daemon):
    query = make_query("www.test")
    return (is_right(query, udp(daemon.address, query))
            and is_right(query, tcp(daemon.address, query)))


def test_example_serves(successor):
    successor.start("--config", str(successor.file), "--verbosity", "info")
    assert serves(successor)
    log = successor.log()
    assert "as the dotproxy written in Go reads it, but: " in log
    assert "warn" not in log


def test_go_style_options_and_environment(successor):
    successor.start("-verbosity", "WARN",
                    env={"DOTPROXY_CONFIG": str(successor.file)})
    assert serves(successor)
    assert "info" not in successor.log()


def test_reload_of_yaml(successor, make_upstream):
    successor.start("--config", str(successor.file))
    assert serves(successor)
    new = make_upstream()
    successor.write(new)
    successor.reload()

    def asked():
        assert serves(successor)
        return new.stats()["queries"]

    eventually(asked, what="query at the new upstream")
    successor.write(new, EXAMPLE.replace("1s500ms", "soon"))
    done = successor.ctl("reload")
    assert done.returncode == 1
    assert "%s:30: upstream.servers[0].read_timeout \"soon\" is not a " \
        "duration" % successor.file in done.stderr
    os.kill(successor.process.pid, signal.SIGHUP)
    eventually(lambda: "old configuration kept" in successor.log(),
               what="refusal")
    assert serves(successor)


def test_reload_names_unknown_keys(successor, upstream):
    successor.start("--config", str(successor.file))
    successor.write(upstream, EXAMPLE + "nonsense: 1\n")
    successor.reload()
    assert ":33: unknown key nonsense is ignored" in successor.log()


def test_print_is_the_way_to_dotproxy_conf(example, tmp_path):
    printed = run(DOTPROXY, "-nv", "--config", str(example))
    assert printed.returncode == 0, printed.stderr
    for line in ("listen on 127.0.0.1 port 5353 udp",
                 "policy historical-connections", "retries 3",
                 "\ttcp write timeout 1s500ms", 'upstream "dot.test" {',
                 "\taddress 127.0.0.1 port 853", "\tpool size 4",
                 "\tread timeout 1s500ms", "\tstale timeout 1m",
                 "metrics statsd 127.0.0.1 port 8125 sample rate 0.5 "
                 "flavour influx"):
        assert line in printed.stdout
    conf = tmp_path / "dotproxy.conf"
    conf.write_text(printed.stdout)
    again = run(DOTPROXY, "-nv", "-f", str(conf))
    assert again.returncode == 0, again.stderr
    assert again.stdout == printed.stdout


def test_file_that_others_may_write_is_refused(example):
    example.chmod(0o666)
    done = run(DOTPROXY, "-n", "-f", str(example))
    assert done.returncode == 1
    assert "%s: group or world writable" % example in done.stderr


def test_macros_are_refused(example):
    done = run(DOTPROXY, "-n", "-D", "a=b", "-f", str(example))
    assert done.returncode == 1
    assert "YAML has no macros" in done.stderr


def test_unknown_keys_are_no_error(example):
    example.write_text(example.read_text().replace(
        "  load_balancing_policy", "  load_balacing_policy"))
    done = run(DOTPROXY, "-n", "-f", str(example))
    assert done.returncode == 0
    assert "%s:22: unknown key upstream.load_balacing_policy is ignored" \
        % example in done.stderr


@pytest.mark.parametrize("name", ["config.yml", "config.yaml"])
def test_both_endings_are_yaml(example, tmp_path, name):
    file = tmp_path / "folder" / name
    file.parent.mkdir()
    file.write_text(example.read_text())
    assert run(DOTPROXY, "-n", "-f", str(file)).returncode == 0
