# SPDX-License-Identifier: ISC
"""Clients as people run them, with DNSSEC, through dotproxy to a real server."""

import contextlib
import os
import secrets
import shutil
import subprocess

import pytest

import far
from dnsclient import address_of, eventually
from programs import Daemon, Upstream, end_process, run, upstream_block

LONG = "size3000.zone.test"     # over TCP, whatever its options

STUB = """
mount --bind {file} /etc/resolv.conf && mount --bind {switch} /etc/nsswitch.conf
exec getent ahosts www.zone.test
"""

# Not the installed package: that would make this machine use it.
RESOLVED = "lib/systemd/systemd-resolved"
PLACES = "/usr/local/lib/dotproxy-tests", "/"

RESOLVED_START = """
set -e
mount -t tmpfs none /run
mkdir -p /run/systemd/resolve /run/systemd/resolved.conf.d
for file in passwd group; do
	cp /etc/$file /run/$file
	mount --bind /run/$file /etc/$file
done
id systemd-resolve 2>/dev/null || {{
	echo "systemd-resolve:x:64991:64991::/:/usr/sbin/nologin" >>/etc/passwd
	echo "systemd-resolve:x:64991:" >>/etc/group
}}
chown systemd-resolve: /run/systemd/resolve
cat >/run/systemd/resolved.conf.d/test.conf <<END
[Resolve]
DNS=10.89.0.1:{port}
FallbackDNS=
Domains=~.
DNSSEC=no
LLMNR=no
MulticastDNS=no
Cache=no
END
export SYSTEMD_LOG_TARGET=console SYSTEMD_LOG_LEVEL=debug
exec {program}
"""


@pytest.fixture
def nsd_proxy(make_proxy, make_signed, pki):
    return make_proxy(upstream_block("nsd", make_signed("nsd"), pki.ca))


def ask(proxy, tool, *args, host="127.0.0.1"):
    if not shutil.which(tool):
        pytest.skip(tool + " is not installed")
    done = run(tool, "@" + host, "-p", str(proxy.port), *args)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("options", [
    (), ("+tcp",), ("+dnssec", "+nsid"), ("+cookie",), ("+padding=128",),
    ("+tcp", "+dnssec", "+nsid", "+cookie", "+padding=128"),
    ("+bufsize=512", "+dnssec"), ("+noedns",), ("+subnet=192.0.2.0/24",)])
@pytest.mark.parametrize("tool", ["dig", "kdig"])
def test_dig_and_kdig_with_their_options(nsd_proxy, tool, options, host):
    output = ask(nsd_proxy, tool, "www.zone.test", *options, host=host)
    assert "NOERROR" in output
    assert "192.0.2.1" in output
    assert ("RRSIG" in output) == ("+dnssec" in options)
    if "+nsid" in options:
        assert "server" in output
    assert "malformed" not in output.lower()
    output = ask(nsd_proxy, tool, LONG, "TXT", *options, host=host)
    assert "NOERROR" in output and "00014 xxx" in output


def test_drill_validates_and_chases(nsd_proxy, signed_zone, tmp_path):
    key = tmp_path / "key"
    key.write_text(signed_zone.dnskey + "\n")
    output = ask(nsd_proxy, "drill", "-D", "-k", str(key), "www.zone.test")
    assert "VALIDATED" in output
    output = ask(nsd_proxy, "drill", "-S", "-k", str(key), "www.zone.test")
    assert "Chase successful" in output


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
def test_delv_validates(nsd_proxy, signed_zone, tmp_path, transport):
    fields = signed_zone.dnskey.partition("DNSKEY")[2].partition(";")[0].split()
    anchor = tmp_path / "anchor"
    anchor.write_text('trust-anchors { zone.test. static-key %s "%s"; };\n' % (
        " ".join(fields[:3]), "".join(fields[3:])))
    for name, rdtype, expected in (
            ("www.zone.test", "A", "; fully validated"),
            ("x.wild.zone.test", "TXT", "; fully validated"),
            (LONG, "TXT", "; fully validated"),
            ("no.zone.test", "A", "; negative response, fully validated"),
            ("www.zone.test", "MX", "; negative response, fully validated")):
        output = ask(nsd_proxy, "delv", "-a", str(anchor), "+root=zone.test",
                     transport, name, rdtype)
        assert expected in output


def test_getdns_gets_its_answer(nsd_proxy):
    if not shutil.which("getdns_query"):
        pytest.skip("getdns_query is not installed")
    for name, rdtype, found in (("www.zone.test", "A", '"192.0.2.1"'),
                                (LONG, "TXT", "00014 xxx")):
        done = run("getdns_query", "-s", "-j", name, rdtype,
                   "@127.0.0.1:%d" % nsd_proxy.port)
        assert done.returncode == 0, done.stderr
        assert found in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts files of its own")
def test_stub_of_the_c_library(make_proxy, make_signed, pki, tmp_path):
    """It knows no port but 53, so it has an address of its own."""
    host = "127.53.%d.%d" % divmod(os.getpid() % 65025, 255)
    make_proxy(upstream_block("nsd", make_signed("nsd"), pki.ca),
               listen=["%s port 53" % host])
    (tmp_path / "resolv").write_text("nameserver %s\n" % host)
    (tmp_path / "switch").write_text("hosts: dns\n")
    script = STUB.format(file=tmp_path / "resolv", switch=tmp_path / "switch")
    for options in "", "options edns0 trust-ad\n", "options use-vc\n":
        (tmp_path / "resolv").write_text(
            "nameserver %s\n%s" % (host, options))
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", script], text=True, timeout=30,
            capture_output=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[0] == "192.0.2.1"


@pytest.fixture
def resolved(pki, tmp_path):
    """systemd-resolved without systemd, in a namespace; its dig, and dotproxy.

    It wants a link beside the loopback, or it thinks it has no network; and
    neither systemd nor D-Bus.
    """
    program = next((os.path.join(place, RESOLVED) for place in PLACES
                    if os.path.exists(os.path.join(place, RESOLVED))), None)
    why_not = far.why_not() or (
        None if program else "systemd-resolved is not there, see deps.sh")
    if why_not:
        pytest.skip(why_not)
    with contextlib.ExitStack() as stack:
        side = far.Side("dp-resolved-" + secrets.token_hex(4))
        stack.callback(side.close)
        side.shell("""
            ip link set lo up
            ip link add up0 type veth peer name up1
            ip address add 10.89.0.1/24 dev up0
            ip link set up0 up && ip link set up1 up""")
        upstream = Upstream(pki, inside=side.inside)
        stack.callback(upstream.stop)
        daemon = Daemon(tmp_path, side.inside)
        # At a loopback address all would fit into a datagram.
        daemon.configure(upstream, listen=["10.89.0.1 port %d" % daemon.port])
        stack.callback(daemon.stop)
        daemon.start()
        log = stack.enter_context(open(tmp_path / "resolved", "w"))
        process = subprocess.Popen(
            [*side.inside, "unshare", "-m", "sh", "-c",
             RESOLVED_START.format(port=daemon.port, program=program)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        stack.callback(process.wait)
        stack.callback(end_process, process.pid)

        def dig(*args):
            return run(*side.inside, "dig", "@127.0.0.53", *args)
        eventually(lambda: "status: NOERROR" in dig(
            "+time=1", "+tries=1", "ready.zone.example").stdout,
            what="systemd-resolved")
        yield dig, daemon


@pytest.mark.parametrize("options", [
    (), ("+tcp",), ("+dnssec",), ("+tcp", "+dnssec"), ("+noedns",)])
def test_systemd_resolved(resolved, options):
    """It asks over UDP, and over TCP for what does not fit."""
    dig, daemon = resolved
    for i in range(20):
        name = "n%d.zone.example." % i
        assert address_of(name) in dig(name, *options).stdout
    output = dig("size-3000.zone.example", "TXT", *options).stdout
    assert "status: NOERROR" in output
    assert sum(len(part) for part in output.split('"')[1::2]) > 2500
    stats = daemon.ctl_json("show", "stats")["listener"]
    assert stats["queries_udp"] > 20 and stats["queries_tcp"] >= 1
    assert stats["queries_udp"] + stats["queries_tcp"] == stats["answered"]
