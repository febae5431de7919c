# SPDX-License-Identifier: ISC
"""The programs under test and those around them, each as a small class."""

import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess

from dnsclient import eventually

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(
    os.environ.get("DOTPROXY_BUILD", ROOT / "build")).absolute()
DOTPROXY = str(BUILD / "sbin/dotproxy")
CTL = str(BUILD / "bin/dotproxyctl")
UPSTREAM = str(BUILD / "tests/upstream")
LOAD = str(BUILD / "tests/load")

FILES = {"parent": "sbin/dotproxy",
         "listener": "libexec/dotproxy/dotproxy-listener",
         "pool": "libexec/dotproxy/dotproxy-pool"}

# What a query that came is now, in the listener and in the pool.
ENDS = ("answered", "abandoned", "cancelled", "in_flight")
ENDS_BY_CAUSE = ("failed_", "refused_", "dropped_")

SANITIZED = b"__asan_init" in pathlib.Path(DOTPROXY).read_bytes()
SANITIZER_REPORTS = (
    "Sanitizer:", "runtime error:", "SUMMARY: Undefined")


def free_port():
    """A port free for UDP and TCP, below those the kernel hands out."""
    for port in random.sample(range(10000, 32000), 100):
        try:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                with socket.socket(socket.AF_INET6, kind) as sock:
                    sock.bind(("::", port))
            return port
        except OSError:
            continue
    raise RuntimeError("no free port")


def run(*args, timeout=30, **kw):
    return subprocess.run(
        args, timeout=timeout, text=True, capture_output=True, **kw)


def relink(folder, source, cflags, ldflags, roles=FILES):
    """
    Links programs anew with one more source in front; others are copied.
    Returns the parent's path.
    """
    stub = folder / (source + ".o")
    subprocess.run(
        ["cc", "-std=c11", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra",
         "-Werror", "-fPIE", *cflags, "-c", "-o", str(stub),
         str(ROOT / "tests/e2e" / source)], check=True)
    for role in set(FILES) - set(roles):
        (folder / FILES[role]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(BUILD / FILES[role], folder / FILES[role])
    paths = {role: str(folder / FILES[role]) for role in roles}
    environment = {key: value for key, value in os.environ.items()
                   if not key.startswith(("MAKE", "MFLAGS"))}
    subprocess.run(
        ["make", "-s", "-C", str(ROOT), "BUILD=" + str(BUILD),
         "LDFLAGS=" + " ".join([str(stub), *ldflags]),
         *("%s=%s" % (role.upper(), paths[role]) for role in roles),
         *paths.values()],
        check=True, stdout=subprocess.DEVNULL, env=environment)
    return str(folder / FILES["parent"])


class Upstream:
    """The scripted DNS-over-TLS server of tests/support."""

    def __init__(self, pki, *knobs, leaf=None, address="127.0.0.1", port=0,
                 keylog=None, client_ca=None, inside=()):
        self.pki = pki
        self.address = address
        leaf = leaf or pki.good
        args = [*inside, UPSTREAM, "-l", address, "-p", str(port),
                "-c", leaf.cert, "-k", leaf.key]
        if keylog:
            args += ["-K", str(keylog)]
        if client_ca:
            args += ["-C", client_ca]
        for knob in knobs:
            args += ["-o", knob]
        self.args = args
        self._start()

    def _start(self):
        self.process = subprocess.Popen(
            self.args, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE)
        word, number = self.process.stdout.readline().split()
        assert word == "ready"
        self.port = int(number)

    def restart(self):
        """As after a crash: it knows of no connection.  Needs a fixed port."""
        self.process.kill()
        self.process.communicate()
        self._start()

    def command(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def set(self, knob):
        assert self.command("set " + knob) == "ok"

    def go_down(self):
        """Refuses connections and closes those there are."""
        assert self.command("stop") == "ok"
        assert self.command("close") == "ok"

    def come_up(self):
        assert self.command("start") == "ok"

    def stats(self):
        return json.loads(self.command("stats"))

    def stop(self):
        ended = self.process.poll()
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()
        assert ended is None, "the upstream ended by itself: %d" % ended

    def block(self, name, *lines):
        return upstream_block(
            name, self.port, self.pki.ca, *lines, address=self.address)


def upstream_block(name, port, ca, *lines, address="127.0.0.1"):
    """The configuration of an upstream; lines are added as they are."""
    text = [
        'upstream "%s" {' % name,
        "address %s port %d" % (address, port),
        'server name "dot.test"',
        'ca file "%s"' % ca,
        *lines,
        "}",
    ]
    return "\n".join(text) + "\n"


class Daemon:
    """dotproxy in the foreground, with its configuration, log and children."""

    def __init__(self, folder, inside=()):
        self.folder = folder
        self.port = free_port()
        self.address = ("127.0.0.1", self.port)
        self.address6 = ("::1", self.port)
        self.file = folder / "dotproxy.conf"
        self.socket = folder / "ctl"
        self.log_file = folder / "log"
        self.command = [*inside, DOTPROXY]
        self.process = None
        self.workers = 1
        self.children_may_die = False
        self.first_children = None

    def configure(self, *upstreams, listen=None, settings="", timeout="3s",
                  workers=1):
        if listen is None:
            listen = ["127.0.0.1 port %d" % self.port,
                      "::1 port %d" % self.port]
        text = ""
        if os.geteuid() == 0:
            text += 'user "nobody"\n'
        text += 'control socket "%s"\n' % self.socket
        self.workers = workers
        if workers > 1:
            text += "workers %d\n" % workers
        for line in listen:
            text += "listen on %s\n" % line
        text += "query timeout %s\n%s\n" % (timeout, settings)
        for i, upstream in enumerate(upstreams):
            if isinstance(upstream, Upstream):
                upstream = upstream.block("up%d" % i)
            text += upstream
        self.file.write_text(text)

    def start(self, *args):
        with open(self.log_file, "a") as log:
            self.process = subprocess.Popen(
                [*self.command, "-d", "-f", str(self.file), *args],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually(self._ready, what="daemon")
        self.first_children = self.children()

    def _ready(self):
        assert self.process.poll() is None, self.log()
        return (self.ctl("show", "summary").returncode == 0
                and len(self.children()) == 2 * self.workers)

    def log(self):
        return self.log_file.read_text(errors="replace")

    def ctl(self, *args):
        return run(CTL, "-s", str(self.socket), *args)

    def ctl_json(self, *args):
        done = self.ctl("-j", *args)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def reload(self):
        done = self.ctl("reload")
        assert done.returncode == 0, done.stderr

    def children(self):
        """The processes by name: {"listener": pid, "pool": pid}.

        If there are several workers, "listener 1" and so on.
        """
        found = {}
        for pid in descendants(self.process.pid):
            role = executable(pid).rpartition("dotproxy-")[2]
            if role in ("listener", "pool"):
                found[" ".join([role, *arguments(pid)])] = pid
        return found

    def child(self, role):
        return eventually(lambda: self.children().get(role), what=role)

    def kill_child(self, role, how=signal.SIGKILL):
        """Kills a child and waits until it has been replaced."""
        self.children_may_die = True
        old = self.child(role)
        os.kill(old, how)
        eventually(lambda: self.children().get(role, old) != old,
                   seconds=60, what="new " + role)

    def pids(self):
        return [self.process.pid, *self.children().values()]

    def _trouble(self):
        if self.process.poll() is not None:
            return "it ended by itself"
        if self.children_may_die or self.children() == self.first_children:
            return None
        return "a child died"

    def _miscount(self):
        """What became of queries that is not counted, see common/stats.h."""
        if self.process.poll() is not None:
            return None
        try:
            stats = json.loads(self.ctl("-j", "show", "stats").stdout)
        except (ValueError, subprocess.TimeoutExpired):
            return None     # nobody answers
        for name, came in (("listener", ("queries_udp", "queries_tcp")),
                           ("pool", ("queries",))):
            counters = stats.get(name)
            if counters is None:
                continue
            ended = sum(value for key, value in counters.items()
                        if key in ENDS or key.startswith(ENDS_BY_CAUSE))
            if sum(counters[key] for key in came) != ended:
                return "the counters of the %s do not add up: %r" % (
                    name, counters)
        return None

    def stop(self):
        """Ends the daemon; everything it promises at its end is checked."""
        if self.process is None:
            return
        pids = [self.process.pid, *descendants(self.process.pid)]
        trouble = self._trouble() or self._miscount()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:   # it waits for answers: no more
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(15)
        except subprocess.TimeoutExpired:
            for pid in pids:
                end_process(pid)
            self.process.wait()
            raise
        self.process = None
        log = self.log()
        assert trouble is None, trouble + "\n" + log
        assert status == 0, "%d\n" % status + log
        for report in SANITIZER_REPORTS:
            assert report not in log, log
        eventually(lambda: not any(map(is_alive, pids)), what="end of all")


def parent_and_state(pid):
    try:
        text = pathlib.Path("/proc/%d/stat" % pid).read_text()
    except OSError:
        return 0, "X"
    state, parent = text.rpartition(")")[2].split()[:2]
    return int(parent), state


def is_alive(pid):
    return parent_and_state(pid)[1] not in "XZ"


def descendants(pid):
    """All live processes below a process."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and is_alive(int(entry.name)):
            child = int(entry.name)
            parents.setdefault(parent_and_state(child)[0], []).append(child)
    found, todo = [], [pid]
    while todo:
        below = parents.get(todo.pop(), [])
        found += below
        todo += below
    return found


def executable(pid):
    try:
        return os.readlink("/proc/%d/exe" % pid)
    except OSError:
        return ""


def arguments(pid):
    """The command line without the program's name."""
    try:
        line = pathlib.Path("/proc/%d/cmdline" % pid).read_text()
    except OSError:
        return []
    return line.split("\0")[1:-1]


def open_files(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def end_process(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def load_command(address, *args):
    return [LOAD, "-j", "-s", address[0], "-p", str(address[1]), *args]


def load(address, *args):
    """Runs the load generator to its end; returns what it counted."""
    done = run(*load_command(address, *args), timeout=120)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def is_flawless(result):
    return (result["answered"] == result["sent"]
            and result["wrong"] == result["duplicate"] == 0
            and result["refused"] == 0)


class BackgroundLoad:
    """The load generator beside what a test does."""

    def __init__(self, address, *args):
        self.process = subprocess.Popen(
            load_command(address, *args), text=True, stdout=subprocess.PIPE)

    def has_ended(self, after):
        """Waits for so many seconds at the most."""
        try:
            self.process.wait(after)
        except subprocess.TimeoutExpired:
            return False
        return True

    def result(self):
        output, _ = self.process.communicate(timeout=120)
        return json.loads(output)

    def stop(self):
        self.process.kill()
        self.process.communicate()
