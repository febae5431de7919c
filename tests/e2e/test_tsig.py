# SPDX-License-Identifier: ISC
"""
Signed messages pass: the server verifies the client's MAC, the client the
server's, although both see another ID than was signed over the wire.
"""

import struct

import dns.query
import dns.rcode
import dns.tsig
import dns.tsigkeyring
import dns.update
import pytest

from differential import Direct, over_tcp, over_udp, with_id
from dnsclient import make_query, udp
from programs import run, upstream_block
from servers import TSIG_NAME, TSIG_SECRET

KEYS = dns.tsigkeyring.from_text({TSIG_NAME: ("hmac-sha256", TSIG_SECRET)})
STRANGER = dns.tsigkeyring.from_text({"other.": ("hmac-sha256", TSIG_SECRET)})
FAKE = dns.tsigkeyring.from_text({TSIG_NAME: ("hmac-sha256", "d3Jvbmc=")})


def text(answer):
    return [rr.to_text() for rrset in answer.answer for rr in rrset]


def serve(make_proxy, make_signed, pki, server):
    port = make_signed(server)
    return make_proxy(upstream_block(server, port, pki.ca)), port


@pytest.mark.parametrize("ask", [dns.query.udp, dns.query.tcp])
@pytest.mark.parametrize("server", ["nsd", "knot"])
def test_macs_verify_both_ways(make_proxy, make_signed, pki, server, ask):
    proxy, _ = serve(make_proxy, make_signed, pki, server)
    query = make_query("www.zone.test", edns=1232)
    query.use_tsig(KEYS)
    answer = ask(query, proxy.address[0], port=proxy.port, timeout=10)
    assert answer.had_tsig
    assert answer.tsig_error == 0
    assert text(answer) == ["192.0.2.1"]


@pytest.mark.parametrize("server", ["nsd", "knot"])
def test_forged_mac_is_noticed(make_proxy, make_signed, pki, server):
    proxy, _ = serve(make_proxy, make_signed, pki, server)
    query = make_query("www.zone.test")
    query.use_tsig(FAKE)
    with pytest.raises(dns.tsig.PeerBadSignature):
        dns.query.udp(query, proxy.address[0], port=proxy.port, timeout=10)


def test_unknown_key_is_answered_as_over_tls(make_proxy, make_signed, pki):
    """Knot puts the ID it was asked with into its TSIG, others the client's."""
    for server in "nsd", "knot":
        proxy, port = serve(make_proxy, make_signed, pki, server)
        query = make_query("www.zone.test")
        query.use_tsig(STRANGER)
        wire = with_id(query.to_wire(), 0)
        expected = Direct(port, pki.ca).ask(wire)
        assert struct.unpack("!H", expected[2:4])[0] & 15 == 9   # NOTAUTH
        for ask in over_udp, over_tcp:
            answer = ask(proxy.address, [wire])[0]
            # Original ID, error, length of nothing.
            assert answer[:-6] == expected[:-6]
            assert answer[-4:] == expected[-4:]


@pytest.mark.parametrize("options", [(), ("-v",)])
def test_signed_update_is_carried_out(make_proxy, make_signed, pki, options):
    proxy, _ = serve(make_proxy, make_signed, pki, "knot")
    for tool, add in ("nsupdate", "192.0.2.77"), ("knsupdate", "192.0.2.78"):
        name = "by-%s%s.zone.test" % (tool, "".join(options))
        done = run(
            tool, *options, "-y", "hmac-sha256:%s:%s" % (
                TSIG_NAME, TSIG_SECRET),
            input="server %s %d\nzone zone.test\nupdate add %s 300 A %s\n"
            "send\nquit\n" % (*proxy.address, name, add))
        assert done.returncode == 0, done.stdout + done.stderr
        assert text(udp(proxy.address, make_query(name))) == [add]


def test_update_that_is_not_signed_is_refused(make_proxy, make_signed, pki):
    proxy, _ = serve(make_proxy, make_signed, pki, "knot")
    update = dns.update.Update("zone.test")
    update.add("never", 300, "A", "192.0.2.79")
    answer = udp(proxy.address, update)
    assert answer.rcode() in (dns.rcode.REFUSED, dns.rcode.NOTAUTH)
    answer = udp(proxy.address, make_query("never.zone.test"))
    assert answer.rcode() == dns.rcode.NXDOMAIN
