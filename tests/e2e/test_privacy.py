# SPDX-License-Identifier: ISC
"""The log tells of upstreams and life cycles, never of clients."""

from dnsclient import make_query, udp, udp_wire

CLIENT = "127.0.0.77"


def test_log_names_neither_clients_nor_queries(make_proxy, make_upstream):
    good, bad = make_upstream(), make_upstream("close")
    proxy = make_proxy(good, bad, settings="retries 2\npolicy round-robin",
                       timeout="500ms")
    for label in ("", "drop.", "close.", "rst.", "wrongid.", "wrongq.",
                  "garbage.", "zero.", "half.", "rcode-5.", "size-5000."):
        query = make_query(label + "privatename.test", edns=1232)
        answer = udp(proxy.address, query, source=CLIENT)
        assert answer.id == query.id
    junk = make_query("privatename.test").to_wire()[:-3]
    udp_wire(proxy.address, junk, source=CLIENT)
    proxy.configure(good, settings="allow { 127.0.0.1 }")
    proxy.reload()
    udp(proxy.address, make_query("privatename.test"), source=CLIENT)
    proxy.kill_child("pool")
    proxy.kill_child("listener")
    udp(proxy.address, make_query("privatename.test"))
    log = proxy.log()
    assert "privatename" not in log.lower()
    assert CLIENT not in log
