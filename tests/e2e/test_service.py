# SPDX-License-Identifier: ISC
"""Under systemd: the units of etc/systemd, run by the real thing."""

import os
import signal
import time

import pytest

import exporter
import service
from programs import (BackgroundLoad, Daemon, ROOT, SANITIZED, is_alive,
                      is_flawless, load, run)
from dnsclient import eventually

pytestmark = pytest.mark.skipif(service.why_not() is not None,
                                reason=str(service.why_not()))
UNITS = ROOT / "etc/systemd"


@pytest.fixture
def daemon(tmp_path, upstream):
    folder = tmp_path / "dotproxy"
    folder.mkdir()
    daemon = Daemon(folder)
    daemon.socket = "/run/dotproxy/dotproxy.sock"
    daemon.configure(upstream)
    return daemon


@pytest.fixture
def make_systemd(tmp_path, daemon):
    managers = []

    def make(**kw):
        folder = tmp_path / "systemd"
        folder.mkdir()
        manager = service.Systemd(folder, daemon, **kw)
        managers.append(manager)
        manager.start()
        return manager
    yield make
    for manager in managers:
        manager.stop()


@pytest.fixture
def systemd(make_systemd):
    manager = make_systemd()
    done = manager.ctl("start", "dotproxy")
    assert done.returncode == 0, done.stderr + manager.log()
    return manager


def seccomp_filters(pid):
    with open("/proc/%d/status" % pid) as status:
        for line in status:
            if line.startswith("Seccomp_filters:"):
                return int(line.split()[1])
    return 0


def test_started_means_bound_and_confined(systemd, daemon):
    # The unit's own filters and the parent's: a child has one more.
    found = systemd.processes()
    filters = {name: seccomp_filters(pid) for name, pid in found.items()}
    assert filters["dotproxy-pool"] > filters["dotproxy"] > 0
    assert filters["dotproxy-listener"] > filters["dotproxy"]
    assert is_flawless(load(daemon.address, "-n", "10"))
    eventually(lambda: systemd.show("StatusText") == "1 of 1 upstream up",
               what="status")
    assert systemd.show("MainPID") != "0"


@pytest.mark.skipif(SANITIZED, reason="the unit's list of system calls has "
                    "no ptrace, by which LeakSanitizer looks at dotproxyctl")
def test_reload_is_told_how_it_ended(systemd, daemon):
    done = systemd.ctl("reload", "dotproxy")
    assert done.returncode == 0, done.stderr
    daemon.file.write_text(daemon.file.read_text() + "nonsense\n")
    done = systemd.ctl("reload", "dotproxy")
    assert done.returncode != 0
    eventually(lambda: "failed" in systemd.show("StatusText"),
               what="status of the reload")
    assert 'unknown keyword "nonsense"' in systemd.log()
    assert is_flawless(load(daemon.address, "-n", "10"))


def test_restart_under_load_loses_no_query(systemd, daemon):
    background = BackgroundLoad(daemon.address, "-r", "300", "-T", "6")
    for _ in range(3):
        time.sleep(1)
        before = systemd.processes()["dotproxy"]
        done = systemd.ctl("restart", "dotproxy")
        assert done.returncode == 0, done.stderr
        assert systemd.processes()["dotproxy"] != before
    result = background.result()
    assert is_flawless(result), result
    assert result["sent"] > 1000


@pytest.mark.skipif(SANITIZED, reason="the unit lets no sanitizer look for "
                    "leaks when dotproxy -n ends")
def test_own_restart_is_no_new_start(systemd, daemon):
    """dotproxyctl restart: the process stays, and what the manager knows."""
    inside = ("nsenter", "-t", str(systemd.first()), "-m", "-p")
    background = BackgroundLoad(daemon.address, "-r", "300", "-T", "5")
    before, main = systemd.processes(), systemd.show("MainPID")
    for _ in range(2):
        done = run(*inside, "/opt/root/usr/bin/dotproxyctl", "restart")
        assert done.returncode == 0, done.stderr + systemd.log()
        eventually(lambda: systemd.show("ActiveState") == "active"
                   and systemd.show("StatusText") == "1 of 1 upstream up",
                   what="an end of the restart")
        after = systemd.processes()
        assert after["dotproxy"] == before["dotproxy"]
        assert after["dotproxy-listener"] != before["dotproxy-listener"]
        before = after
        time.sleep(3)   # what there has to be between two
    assert systemd.show("MainPID") == main
    assert systemd.show("NRestarts") == "0"
    # It has the sockets still, for a restart of its own.
    assert systemd.show("NFileDescriptorStore") == "4"
    assert systemd.ctl("restart", "dotproxy").returncode == 0
    result = background.result()
    assert is_flawless(result), result


def test_sockets_of_no_use_are_not_kept(systemd, daemon, upstream):
    """The kernel would go on giving them their share, and nobody reads it."""
    assert systemd.show("NFileDescriptorStore") == "4"
    daemon.configure(upstream, workers=4)
    assert systemd.ctl("restart", "dotproxy").returncode == 0
    assert systemd.show("NFileDescriptorStore") == "16"
    assert is_flawless(load(daemon.address, "-n", "100"))
    daemon.configure(upstream, listen=["127.0.0.1 port %d" % daemon.port])
    done = systemd.ctl("restart", "dotproxy")
    assert done.returncode == 0, done.stderr
    for _ in range(10):     # each from another port
        for more in ((), ("-t",)):
            result = load(daemon.address, "-n", "10", *more)
            assert is_flawless(result), result
    eventually(lambda: systemd.show("NFileDescriptorStore") == "2",
               what="the end of the others")


def test_kept_sockets_are_not_in_the_way(systemd, daemon, upstream):
    """Of a wildcard, and a wildcard of an address."""
    for host in ("0.0.0.0", "127.0.0.1"):
        daemon.configure(upstream, listen=["%s port %d" % (host, daemon.port)])
        done = systemd.ctl("restart", "dotproxy")
        assert done.returncode == 0, systemd.log()
        assert is_flawless(load(daemon.address, "-n", "10"))
    assert systemd.show("NRestarts") == "0"


def test_more_sockets_than_messages_may_wait(make_systemd, daemon, upstream):
    """Of 512 (net.unix.max_dgram_qlen), whether it is ready is not lost."""
    daemon.configure(upstream, workers=10, listen=[
        "127.0.0.%d port %d" % (i, daemon.port) for i in range(1, 31)])
    systemd = make_systemd(drop_in="TimeoutStartSec=15s")
    done = systemd.ctl("start", "dotproxy")
    assert done.returncode == 0, done.stderr + systemd.log()
    eventually(lambda: systemd.show("NFileDescriptorStore") == "600",
               seconds=20, what="all sockets in the store")
    assert systemd.show("StatusText") == "1 of 1 upstream up"


def test_query_of_a_dead_daemon_is_answered_by_the_next(systemd, daemon):
    found = systemd.processes()
    parent = found["dotproxy"]
    os.kill(parent, signal.SIGKILL)
    eventually(lambda: not any(map(is_alive, found.values())), what="end")
    assert is_flawless(load(daemon.address, "-n", "10"))
    assert systemd.processes()["dotproxy"] != parent
    assert systemd.show("NRestarts") == "1"


def test_stop_gives_the_sockets_back(systemd, daemon, upstream):
    assert systemd.ctl("stop", "dotproxy").returncode == 0
    assert not systemd.processes()
    again = Daemon(daemon.folder)
    again.port, again.address = daemon.port, daemon.address
    again.configure(upstream)
    again.start()
    assert is_flawless(load(daemon.address, "-n", "10"))
    again.stop()


def test_daemon_that_hangs_is_started_again(make_systemd, daemon):
    systemd = make_systemd(drop_in="WatchdogSec=1s")
    assert systemd.ctl("start", "dotproxy").returncode == 0
    time.sleep(2.5)  # while it runs the watchdog is content
    assert systemd.show("NRestarts") == "0"
    parent = systemd.processes()["dotproxy"]
    os.kill(parent, signal.SIGSTOP)
    eventually(lambda: systemd.show("NRestarts") == "1"
               and systemd.show("ActiveState") == "active",
               seconds=30, what="restart by the watchdog")
    assert is_flawless(load(daemon.address, "-n", "10"))


def test_first_query_starts_a_socket_activated_daemon(make_systemd, daemon):
    systemd = make_systemd()
    done = systemd.ctl("start", "dotproxy.socket")
    assert done.returncode == 0, done.stderr + systemd.log()
    assert not systemd.processes()
    assert is_flawless(load(daemon.address, "-n", "10"))
    assert is_flawless(load(daemon.address, "-t", "-n", "10"))
    assert systemd.ctl("stop", "dotproxy.service").returncode == 0
    assert is_flawless(load(daemon.address, "-n", "10"))


def test_exporter_outlives_the_daemon_and_serves(systemd, daemon):
    done = systemd.ctl("start", "dotproxy-exporter")
    assert done.returncode == 0, done.stderr + systemd.log()
    address = "127.0.0.1", systemd.exporter_port

    def up():
        try:
            status, _, body = exporter.get(address, "/metrics")
        except OSError:
            return None     # it is not listening yet
        assert status == 200
        return exporter.parse(body.decode())

    eventually(lambda: up() is not None, what="the exporter")
    found = up()
    assert found.value("dotproxy_up") == 1
    # What the kernel says of the daemon's processes is not hidden from it.
    for role in "parent", "listener", "pool":
        assert found.value("dotproxy_process_resident_memory_bytes",
                           process=role) > 0
    assert systemd.ctl("stop", "dotproxy").returncode == 0
    eventually(lambda: up().value("dotproxy_up") == 0, what="its absence")
    assert systemd.ctl("start", "dotproxy").returncode == 0
    eventually(lambda: up().value("dotproxy_up") == 1, what="the daemon")
    assert systemd.show("NRestarts", "dotproxy-exporter.service") == "0"


def test_user_and_directory_are_made(tmp_path):
    (tmp_path / "etc").mkdir()
    done = run("systemd-sysusers", "--root=%s" % tmp_path,
               str(UNITS / "dotproxy.sysusers"))
    assert done.returncode == 0, done.stderr
    assert "_dotproxy:" in (tmp_path / "etc/passwd").read_text()
    done = run("systemd-tmpfiles", "--create", "--root=%s" % tmp_path,
               str(UNITS / "dotproxy.tmpfiles"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/dotproxy").is_dir()


@pytest.mark.parametrize("unit,most", [
    ("dotproxy", 36), ("dotproxy-exporter", 33)])
def test_exposure_does_not_grow(unit, most):
    done = run("systemd-analyze", "security", "--offline=true",
               "--threshold=%d" % most, str(UNITS / (unit + ".service")))
    assert done.returncode == 0, done.stdout
