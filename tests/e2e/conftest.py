# SPDX-License-Identifier: ISC
"""Fixtures: certificates, upstreams and daemons, ended after each test."""

import contextlib

import pytest

import certs
import far
import notified
import programs
import servers


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    return certs.Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def make_upstream(pki):
    with contextlib.ExitStack() as stack:
        def make(*knobs, **kw):
            upstream = programs.Upstream(pki, *knobs, **kw)
            stack.callback(upstream.stop)
            return upstream
        yield make


@pytest.fixture
def upstream(make_upstream):
    return make_upstream()


@pytest.fixture
def start_daemon(make_upstream):
    """Starts daemons, which end with the test, before the upstreams do."""
    with contextlib.ExitStack() as stack:
        def start(daemon, *args):
            stack.callback(daemon.stop)
            daemon.start(*args)
            return daemon
        yield start


@pytest.fixture
def make_proxy(tmp_path, start_daemon):
    """Makes a running daemon."""
    def make(*upstreams, args=(), **kw):
        folder = tmp_path / ("d%d" % len(list(tmp_path.iterdir())))
        folder.mkdir()
        daemon = programs.Daemon(folder)
        daemon.configure(*upstreams, **kw)
        return start_daemon(daemon, *args)
    return make


@pytest.fixture
def proxy(make_proxy, upstream):
    """A daemon in front of one upstream that behaves."""
    return make_proxy(upstream)


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """The service manager of daemons that are started from now on."""
    with contextlib.closing(notified.Manager(tmp_path / "manager")) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.path)
        yield manager


@pytest.fixture
def far_link(pki):
    why_not = far.why_not()
    if why_not:
        pytest.skip(why_not)
    with contextlib.closing(far.FarLink(pki)) as link:
        yield link


@pytest.fixture
def far_proxy(tmp_path, far_link):
    """Makes a running daemon at the near end of the far link."""
    with contextlib.ExitStack() as stack:
        def make(*upstreams, **kw):
            daemon = programs.Daemon(tmp_path, far_link.near.inside)
            daemon.configure(*upstreams, **kw)
            stack.callback(daemon.stop)
            daemon.start()
            return daemon
        yield make


@pytest.fixture
def far_load(tmp_path, far_link):
    """Queries from the near end to a daemon there, beside what a test does."""
    with contextlib.ExitStack() as stack:
        def make(proxy, *args):
            load = far.Load(
                far_link, proxy.address, tmp_path / "trace", *args)
            stack.callback(load.stop)
            return load
        yield make


@pytest.fixture
def background_load():
    with contextlib.ExitStack() as stack:
        def make(address, *args):
            load = programs.BackgroundLoad(address, *args)
            stack.callback(load.stop)
            return load
        yield make


@pytest.fixture
def unbound(pki, tmp_path):
    with servers.unbound(pki, tmp_path) as port:
        yield port


@pytest.fixture
def nsd(pki, tmp_path):
    with servers.nsd(pki, tmp_path) as port:
        yield port


@pytest.fixture(scope="session")
def signed_zone(tmp_path_factory):
    return servers.SignedZone(tmp_path_factory.mktemp("zone"))


@pytest.fixture(scope="session")
def make_signed(pki, signed_zone, tmp_path_factory):
    """Makes a server of the signed zone by its name, once; returns its port."""
    ports = {}
    with contextlib.ExitStack() as stack:
        def make(name):
            if name not in ports:
                folder = tmp_path_factory.mktemp("signed") / name
                ports[name] = stack.enter_context(
                    servers.SIGNED_SERVERS[name](pki, folder, signed_zone))
            return ports[name]
        yield make
