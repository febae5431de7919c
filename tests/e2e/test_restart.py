# SPDX-License-Identifier: ISC
"""dotproxyctl restart: the same process and sockets, another program."""

import json
import os
import pathlib
import shutil
import signal
import threading
import time

import pytest

import programs
from dnsclient import Stream, eventually, make_query
from programs import (BackgroundLoad, Daemon, FILES, SANITIZED, is_flawless,
                      load, open_files, run)

VERSION = b"0.1.0\0"
OTHER = b"9.8.7\0"


@pytest.fixture
def daemon(tmp_path, upstream, start_daemon):
    """A daemon whose programs are its own, to be replaced."""
    folder = tmp_path / "daemon"
    folder.mkdir()
    for name in FILES.values():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(programs.BUILD / name, folder / name)
    os.chmod(folder, 0o755)
    daemon = Daemon(folder)
    daemon.command = [str(folder / FILES["parent"])]
    daemon.configure(upstream)
    return start_daemon(daemon)


def program(daemon):
    return pathlib.Path(daemon.command[0])


def install(daemon, data):
    """As a package does: a new file in the place of the old."""
    file = program(daemon)
    new = file.with_suffix(".new")
    new.write_bytes(data)
    new.chmod(0o755)
    new.rename(file)


def install_other_version(daemon):
    data = program(daemon).read_bytes()
    assert VERSION in data
    install(daemon, data.replace(VERSION, OTHER))


def ask_restart(daemon, *options):
    """There is a pause between two."""
    for _ in range(10):
        done = daemon.ctl(*options, "restart")
        if "try again" not in done.stderr:
            break
        time.sleep(1)
    return done


def restart(daemon):
    done = ask_restart(daemon)
    assert done.returncode == 0, done.stderr + daemon.log()
    eventually(lambda: len(daemon.children()) == 2 * daemon.workers)
    daemon.first_children = daemon.children()


def status_of(pid, key):
    for line in pathlib.Path("/proc/%d/status" % pid).read_text().split("\n"):
        if line.startswith(key + ":"):
            return line.split()[1:]
    return None


def layers(pid):
    """How a process is confined."""
    return [status_of(pid, key) for key in (
        "Uid", "Gid", "Groups", "CapPrm", "CapBnd", "NoNewPrivs", "Seccomp",
        "Seccomp_filters")]


class Connections(threading.Thread):
    """Connects all the time, and asks: the port must never refuse."""

    def __init__(self, address):
        super().__init__()
        self.address = address
        self.done = threading.Event()
        self.answered, self.trouble = 0, []
        self.start()

    def run(self):
        wire = make_query("tcp.test").to_wire()
        while not self.done.is_set():
            try:
                with Stream(self.address) as stream:
                    stream.ask(wire)
                self.answered += 1
            except (OSError, EOFError) as error:
                self.trouble.append(repr(error))

    def finish(self):
        self.done.set()
        self.join()
        return self.trouble


def test_other_program_under_load(daemon):
    background = BackgroundLoad(daemon.address, "-r", "300", "-T", "8")
    connections = Connections(daemon.address)
    pid, before = daemon.process.pid, daemon.children()
    for i in range(3):
        time.sleep(1)
        if i == 1:
            install_other_version(daemon)
        restart(daemon)
        now = daemon.children()
        assert not set(now.values()) & set(before.values())
        before = now
    assert daemon.process.poll() is None and daemon.process.pid == pid
    trouble = connections.finish()
    result = background.result()
    assert is_flawless(result), result
    assert result["sent"] > 2000
    assert connections.answered > 100
    print(result, connections.answered, trouble)
    assert trouble == []
    assert "started, version 9.8.7" in daemon.log()


def test_nothing_grows_and_nothing_is_given_up(daemon):
    restart(daemon)
    pid = daemon.process.pid
    files, was = open_files(pid), layers(pid)
    children = {name: layers(child)
                for name, child in daemon.children().items()}
    for _ in range(4):
        restart(daemon)
    assert open_files(pid) == files
    assert layers(pid) == was
    for name, child in daemon.children().items():
        assert layers(child) == children[name]
    if os.geteuid() == 0 and not SANITIZED:
        done = daemon.ctl("check", "security")
        assert done.returncode == 0, done.stdout
    assert is_flawless(load(daemon.address, "-n", "100"))


def refused(daemon, why):
    """Restart is refused, says why, and has changed nothing."""
    children = daemon.children()
    done = ask_restart(daemon)
    assert done.returncode == 1
    assert why in done.stderr, done.stderr
    assert daemon.children() == children
    assert is_flawless(load(daemon.address, "-n", "100"))


def test_two_have_a_pause_between(daemon):
    """Or a listener that was taken over could have nothing else done."""
    begin = time.monotonic()
    restart(daemon)
    while "not ready" in (done := daemon.ctl("restart")).stderr:
        time.sleep(0.05)
    assert ("the last restart was just now" in done.stderr and
            done.returncode == 1 or time.monotonic() - begin > 3)


def test_what_does_not_run_is_refused(daemon):
    good = program(daemon).read_bytes()
    install(daemon, b"\x7fELF" + bytes(100))
    refused(daemon, "cannot be executed")
    install(daemon, pathlib.Path("/bin/false").read_bytes())
    refused(daemon, "with -n it ends with status 1")
    program(daemon).unlink()
    refused(daemon, "cannot be executed")
    install(daemon, good)
    restart(daemon)
    assert is_flawless(load(daemon.address, "-n", "100"))


def test_bad_configuration_is_refused(daemon):
    text = daemon.file.read_text()
    daemon.file.write_text(text + "nonsense\n")
    refused(daemon, 'unknown keyword "nonsense"')
    daemon.file.write_text(text + "listen on 192.0.2.1 port 9\n")
    refused(daemon, "cannot listen on 192.0.2.1:9")
    daemon.file.write_text(text)
    restart(daemon)


def test_program_that_goes_in_the_last_moment(daemon):
    """It is well when tried, and gone when it is needed."""
    good = program(daemon).read_bytes()
    source = daemon.folder / "gone.c"
    source.write_text("#include <unistd.h>\n"
                      "int main(int n, char **v)"
                      " { return unlink(v[0]) + n * 0; }\n")
    done = run("cc", "-o", str(source.with_suffix("")), str(source))
    assert done.returncode == 0, done.stderr
    install(daemon, source.with_suffix("").read_bytes())
    pid = daemon.process.pid
    background = BackgroundLoad(daemon.address, "-r", "300", "-T", "3")
    daemon.children_may_die = True
    children = daemon.children()
    done = ask_restart(daemon, "-j")
    assert done.returncode == 1    # it has not happened
    result = json.loads(done.stdout)
    assert not result["ok"] and "not been restarted" in result["error"]
    assert "restart failed, the old program goes on" in daemon.log()
    eventually(lambda: len(daemon.children()) == 2)
    assert not set(daemon.children().values()) & set(children.values())
    result = background.result()
    assert is_flawless(result), result
    install(daemon, good)
    restart(daemon)
    assert daemon.process.pid == pid


def test_several_workers(tmp_path, daemon, upstream):
    daemon.stop()
    daemon.configure(upstream, workers=2)
    daemon.start()
    background = BackgroundLoad(daemon.address, "-r", "300", "-T", "4", "-c",
                                "8")
    restart(daemon)
    restart(daemon)
    result = background.result()
    assert is_flawless(result), result


def test_stopped_in_the_middle(daemon, upstream):
    """A query in flight holds the restart up; SIGTERM ends it for good."""
    upstream.set("delay=1500")
    background = BackgroundLoad(daemon.address, "-n", "1")
    eventually(lambda: upstream.stats()["queries"] > 0)
    asked = []
    thread = threading.Thread(target=lambda: asked.append(ask_restart(daemon)))
    thread.start()
    eventually(lambda: "restarting" in daemon.log())
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(20) == 0
    daemon.process = None
    thread.join()
    assert asked[0].returncode == 1    # and does not wait to the last
    assert "control socket is gone" in asked[0].stderr
    assert is_flawless(background.result())
    assert daemon.log().count("started, version") == 1
