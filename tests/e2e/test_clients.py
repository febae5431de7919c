# SPDX-License-Identifier: ISC
"""dotproxyctl show clients: who asks most, if the configuration says so."""

import json

from dnsclient import eventually, is_right, make_query, tcp, udp, \
    udp_socket

ON = "client { statistics yes }"


def clients(proxy, *args):
    found = proxy.ctl_json("show", "clients", *args)["clients"]
    return {one["prefix"]: one for one in found}


def ask(proxy, n, source="127.0.0.1"):
    for i in range(n):
        query = make_query("secret%d.test" % i)
        assert is_right(query, udp(proxy.address, query, source=source))


def test_off_unless_asked_for(proxy):
    ask(proxy, 2)
    done = proxy.ctl("show", "clients")
    assert done.returncode == 1
    assert "statistics" in done.stderr
    assert not json.loads(proxy.ctl("-j", "show", "clients").stdout)["ok"]


def test_counts_by_client(make_proxy, upstream):
    proxy = make_proxy(upstream, settings=ON)
    assert clients(proxy) == {}
    ask(proxy, 5)
    ask(proxy, 2, "127.0.0.2")
    query = make_query("www.test")
    assert is_right(query, tcp(proxy.address, query))
    assert is_right(query, udp(("::1", proxy.port), query))
    found = clients(proxy)
    assert list(found) == ["127.0.0.1/32", "127.0.0.2/32", "::/56"]
    assert found["127.0.0.1/32"] == {
        "prefix": "127.0.0.1/32", "queries": 6, "excess": 0, "answers": 6,
        "in_flight": 0, "last_minute": 6}
    assert found["::/56"]["queries"] == 1
    assert list(clients(proxy, "1")) == ["127.0.0.1/32"]
    text = proxy.ctl("show", "clients").stdout
    assert "127.0.0.2/32" in text and "secret" not in text
    assert "127.0.0" not in proxy.log()


def test_in_flight(make_proxy, make_upstream):
    proxy = make_proxy(make_upstream("delay=2000"), settings=ON)
    sock = udp_socket(proxy.address, "127.0.0.3")
    sock.send(make_query("www.test").to_wire())
    eventually(lambda: clients(proxy).get("127.0.0.3/32", {}).get("in_flight"))
    assert sock.recv(65535)
    sock.close()
    eventually(lambda: clients(proxy)["127.0.0.3/32"]["in_flight"] == 0)
    assert clients(proxy)["127.0.0.3/32"]["answers"] == 1


def test_who_may_not_ask_is_not_counted(make_proxy, upstream):
    proxy = make_proxy(upstream, settings=ON + "\nallow { 127.0.0.1 }")
    udp(proxy.address, make_query("www.test"), source="127.0.0.2")
    ask(proxy, 1)
    assert list(clients(proxy)) == ["127.0.0.1/32"]


def test_reload_switches_it_and_forgets(make_proxy, upstream):
    proxy = make_proxy(upstream, settings=ON)
    on = proxy.file.read_text()
    off = on.replace("statistics yes", "statistics no")
    ask(proxy, 3)
    proxy.reload()
    assert clients(proxy)["127.0.0.1/32"]["queries"] == 3
    proxy.file.write_text(off)
    proxy.reload()
    assert proxy.ctl("show", "clients").returncode == 1
    ask(proxy, 1)
    proxy.file.write_text(on)
    proxy.reload()
    assert clients(proxy) == {}
    ask(proxy, 2)
    assert clients(proxy)["127.0.0.1/32"]["queries"] == 2


def test_workers_are_added_up(make_proxy, upstream):
    proxy = make_proxy(upstream, settings=ON, workers=3)
    ask(proxy, 30)
    assert clients(proxy)["127.0.0.1/32"]["queries"] == 30
    assert clients(proxy)["127.0.0.1/32"]["answers"] == 30
