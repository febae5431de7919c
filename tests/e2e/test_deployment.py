# SPDX-License-Identifier: ISC
"""What docs/DEPLOYMENT.md tells people to write, run by what reads it."""

import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess

import pytest

from programs import (Daemon, LOAD, ROOT, free_port, is_flawless, run)
from dnsclient import eventually

WIRE = """
set -e
ip netns add %(a)s
ip netns add %(b)s
ip -n %(a)s link set lo up
ip -n %(a)s link add lan0 type veth peer name lan0 netns %(b)s
ip -n %(a)s address add 192.168.1.1/24 dev lan0
ip -n %(a)s link set lan0 up
ip -n %(a)s link add out0 type veth peer name end0
ip netns exec %(a)s sh -c 'echo 1 >/proc/sys/net/ipv6/conf/out0/disable_ipv6
	echo 1 >/proc/sys/net/ipv6/conf/end0/disable_ipv6
	echo 1 >/proc/sys/net/ipv4/ip_forward'
ip -n %(a)s address add 192.0.2.1/24 dev out0
ip -n %(a)s link set out0 up
ip -n %(a)s link set end0 up
ip -n %(a)s neighbour add 192.0.2.2 lladdr 02:00:00:00:00:02 dev out0
ip -n %(a)s route add default via 192.0.2.2
ip -n %(b)s address add 192.168.1.2/24 dev lan0
ip -n %(b)s link set lan0 up
ip -n %(b)s route add default via 192.168.1.1
"""


def block(kind):
    text = (ROOT / "docs/DEPLOYMENT.md").read_text()
    return re.search("```%s\n(.*?)```" % kind, text, re.S).group(1)


def need(program):
    path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin")
    if path is None:
        pytest.skip(program + " is not installed")
    return path


@contextlib.contextmanager
def running(*args):
    process = subprocess.Popen(args, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def asks_through(port, proxy):
    """A query that a server on that port sends on to the daemon."""
    def answer():
        said = run("dig", "@127.0.0.1", "-p", str(port), "+tries=1",
                   "+time=2", "+short", "www.example.test").stdout.strip()
        return said and not said.startswith(";")    # that is an error
    eventually(answer, seconds=30, what="an answer")
    assert proxy.ctl_json("show", "stats")["listener"]["answered"] >= 1


def test_unbound_in_front(proxy, tmp_path):
    program, port = need("unbound"), free_port()
    file = tmp_path / "unbound.conf"
    file.write_text(
        'server:\n\tchroot: ""\n\tusername: ""\n\tpidfile: ""\n'
        '\tuse-syslog: no\n\tmodule-config: "iterator"\n'
        '\tlocal-zone: "test." nodefault\n'
        "\tinterface: 127.0.0.1@%d\nremote-control:\n"
        "\tcontrol-enable: no\n" % port
        + block("unbound").replace("5300", str(proxy.port)))
    with running(program, "-d", "-c", str(file)):
        asks_through(port, proxy)


def test_dnsmasq_in_front(proxy, tmp_path):
    program, port = need("dnsmasq"), free_port()
    file = tmp_path / "dnsmasq.conf"
    file.write_text(
        "port=%d\nlisten-address=127.0.0.1\nbind-interfaces\nuser=root\n"
        "no-hosts\npid-file=\n" % port
        + block("dnsmasq").replace("5300", str(proxy.port)))
    with running(program, "-k", "-C", str(file)):
        asks_through(port, proxy)


def test_bird_takes_its_file(tmp_path):
    file = tmp_path / "bird.conf"
    file.write_text(block("bird"))
    done = run(need("bird"), "-p", "-c", str(file))
    assert done.returncode == 0, done.stderr


def test_prometheus_takes_its_file(tmp_path):
    file, rules = tmp_path / "prometheus.yml", ROOT / "etc/prometheus"
    file.write_text(block("prometheus").replace("/usr/share/dotproxy",
                                                str(rules)))
    done = run(need("promtool"), "check", "config", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rules found" in done.stdout     # their path was replaced


def sent_out(gateway):
    """How many packets have left the gateway, to where nobody is."""
    done = run(*gateway, "cat", "/proc/net/dev", check=True)
    return int(re.search(r"out0:(.*)", done.stdout).group(1).split()[9])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for namespaces")
def test_gateway_redirects_and_lets_nothing_out(tmp_path, make_upstream):
    nft = need("nft")
    names = {end: "dp-%s-%s" % (end, secrets.token_hex(4)) for end in "ab"}
    gateway = ("ip", "netns", "exec", names["a"])
    client = ("ip", "netns", "exec", names["b"])
    try:
        run("sh", "-c", WIRE % names, check=True)
        (tmp_path / "rules").write_text(block("nft"))
        daemon = Daemon(tmp_path, gateway)
        daemon.configure(make_upstream(inside=gateway),
                         listen=["192.168.1.1 port 53"])
        daemon.start()
        try:
            ask = (*client, LOAD, "-j", "-s", "8.8.8.8", "-p", "53", "-n",
                   "10")
            dig = ("dig", "@8.8.8.8", "+tries=1", "+time=2", "x.test")
            for inside in client, gateway:
                before = sent_out(gateway)
                assert run(*inside, *dig).returncode != 0
                assert sent_out(gateway) > before
            done = run(*gateway, nft, "-f", str(tmp_path / "rules"))
            assert done.returncode == 0, done.stderr
            before = sent_out(gateway)
            assert run(*gateway, *dig).returncode != 0
            for transport in ((), ("-t",)):
                result = json.loads(run(*ask, *transport).stdout)
                assert is_flawless(result), result
            assert sent_out(gateway) == before
        finally:
            daemon.stop()
    finally:
        for name in names.values():
            run("ip", "netns", "del", name)
