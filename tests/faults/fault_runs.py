# SPDX-License-Identifier: ISC
"""
A daemon in which a call fails: what it is put through, and what may have come
of it.
"""

import contextlib
import errno
import mmap
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

import dns.rcode        # noqa: E402

import certs            # noqa: E402
import dnsclient        # noqa: E402
import programs         # noqa: E402

FAULT_SO = str(programs.BUILD / "tests/fault.so")

ROLES = {"parent": "dotproxy",
         "listener": "dotproxy-listener",
         "pool": "dotproxy-pool"}

# struct state of fault.c
HEAD = struct.Struct("8IQ80s")
FUNCTION = struct.Struct("56sII")
STATE_SIZE = 32768

YAML = """
listener:
  udp:
    addr: 127.0.0.1:%d
upstream:
  load_balancing_policy: Failover
  servers:
    - addr: 127.0.0.1:%d
      server_name: dot.test
"""


class State:
    """The memory shared with a program."""

    def __init__(self, path):
        path.write_bytes(bytes(STATE_SIZE))
        path.chmod(0o600)
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), STATE_SIZE)

    def arm(self, index, point):
        HEAD.pack_into(self.memory, 0, 1, index, point.nth, point.err,
                       point.forever, point.life, 0, 0, 0, b"")

    def disarm(self):
        struct.pack_into("I", self.memory, 0, 0)

    @property
    def fired(self):
        return struct.unpack_from("I", self.memory, 24)[0]

    def site(self):
        head = HEAD.unpack_from(self.memory, 0)
        return "%s+0x%x" % (head[9].rstrip(b"\0").decode(), head[8])

    def calls(self):
        """{name: (index, calls in this life)}"""
        found = {}
        for i, at in enumerate(range(
                HEAD.size, STATE_SIZE - FUNCTION.size, FUNCTION.size)):
            name, calls, _ = FUNCTION.unpack_from(self.memory, at)
            name = name.rstrip(b"\0").decode()
            if not name:
                break
            found[name] = i, calls
        return found


class Bad(Exception):
    """What must not be."""


def check(condition, what):
    if not condition:
        raise Bad(what)


def wait_for(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Bad("no %s in %d s" % (what, seconds))
        time.sleep(0.02)


class Surroundings:
    """What all runs share: certificates, and two upstreams."""

    def __init__(self, folder):
        self.pki = certs.Pki(folder)
        os.chmod(self.pki.good.key, 0o600)
        self.upstreams = [programs.Upstream(self.pki, client_ca=self.pki.ca),
                          programs.Upstream(self.pki)]
        self.index = {}     # role: {function: its number in fault.c}
        self.fds = {}       # role: how many are open when all is quiet
        self.daemon = programs.Daemon(folder)
        self.daemon.configure(*self.blocks(), timeout="2s")
        self.daemon.start()
        yaml = folder / "config.yaml"
        yaml.write_text(YAML % (
            programs.free_port(), self.upstreams[0].port))
        ctl = [programs.CTL, "-s", str(self.daemon.socket)]
        self.tools = {
            "check": [programs.DOTPROXY, "-nv", "-f", str(self.daemon.file)],
            "yaml": [programs.DOTPROXY, "-nv", "-f", str(yaml)],
            "reload": [*ctl, "reload"],
            "summary": [*ctl, "show", "summary"],
            "json": [*ctl, "-j", "show", "stats"],
            "processes": [*ctl, "show", "processes"],
            "security": [*ctl, "check", "security"],
        }
        self.lines = {}     # tool: how many it prints

    def stop(self):
        self.daemon.stop()
        for upstream in self.upstreams:
            upstream.stop()

    def blocks(self):
        me = self.pki.good
        first, second = self.upstreams
        return [
            first.block("one", "pool size 2",
                        'client certificate "%s" key "%s"' % (me.cert, me.key),
                        'pin "%s"' % me.pin),
            programs.upstream_block(
                "two", second.port, self.pki.ca, "pool size 2",
                'ciphers "TLS_AES_256_GCM_SHA384:'
                'ECDHE-ECDSA-AES256-GCM-SHA384"')]


class Run:
    """One daemon, with at most one fault."""

    def __init__(self, around, point=None):
        self.around, self.point = around, point
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="faults."))
        self.daemon = programs.Daemon(self.folder)
        self.daemon.configure(
            *around.blocks(), timeout="2s",
            settings="policy round-robin\nretries 4\n"
            "metrics statsd 127.0.0.1 port %d\n" % programs.free_port())
        self.daemon.command = [
            "env", "LD_PRELOAD=" + FAULT_SO, "FAULT_DIR=%s" % self.folder,
            programs.DOTPROXY]
        self.states = {role: State(self.folder / (name + ".state"))
                       for role, name in ROLES.items()}
        self.degraded = set()
        self.killed = None      # by us
        self.log = ""
        self.process = None
        self.pids = set()

    # -- what it is put through --

    def start(self):
        with open(self.daemon.log_file, "w") as log:
            self.process = subprocess.Popen(
                [*self.daemon.command, "-d", "-f", str(self.daemon.file)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.daemon.process = self.process

    def ended(self):
        return self.process.poll() is not None

    def note_pids(self):
        self.pids.update(programs.descendants(self.process.pid))

    def query(self, transport, patience=1.0):
        """One try: "right", "servfail", or what was wrong with it."""
        name = "secret%08x.name.test" % random.getrandbits(32)
        query = dnsclient.make_query(name)
        wire = query.to_wire()
        try:
            if transport == "udp":
                with socket.socket(
                        socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    sock.settimeout(patience)
                    sock.connect(self.daemon.address)
                    sock.send(wire)
                    answer = sock.recv(65535)
            else:
                with socket.create_connection(
                        self.daemon.address, patience) as sock:
                    sock.settimeout(patience)
                    sock.sendall(dnsclient.frame(wire))
                    answer = b""
                    while (len(answer) < 2 or
                           len(answer) < 2 + answer[0] * 256 + answer[1]):
                        part = sock.recv(65536)
                        if not part:
                            return "closed"
                        answer += part
                    answer = answer[2:]
        except OSError:
            return "nothing"
        message = dnsclient.dns.message.from_wire(answer)
        if dnsclient.is_right(query, message):
            return "right"
        check(message.id == query.id and
              message.question == query.question, "a wrong answer")
        check(message.rcode() == dns.rcode.SERVFAIL,
              "an answer that is neither right nor SERVFAIL")
        return "servfail"

    def ask(self, transport, patience=0.7, tries=1):
        for _ in range(tries):
            if self.ended():
                return
            got = self.query(transport, patience)
            if got == "right":
                return
            self.degraded.add(transport + " " + got)

    def ctl(self, *args, seconds=20):
        try:
            return programs.run(programs.CTL, "-s", str(self.daemon.socket),
                                *args, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Bad("dotproxyctl %s hangs" % " ".join(args))

    def is_up(self):
        if self.ended():
            return True
        return ("started, version" in self.daemon.log()
                and self.daemon.socket.exists())

    def exercise(self):
        """What a day brings."""
        try:
            wait_for(self.is_up, 3, "start")
        except Bad:
            self.degraded.add("late start")
        self.note_pids()
        for transport in ("udp", "tcp", "udp"):
            self.ask(transport)
        if self.ended():
            return
        for args in (["reload"], ["show", "summary"]):
            try:
                ok = self.ctl(*args, seconds=4).returncode == 0
            except Bad:     # it waits longer than we do
                ok = False
            if not ok:
                self.degraded.add(" ".join(args))
            self.note_pids()
        self.ask("udp")

    def patience(self):
        """
        A child that starts and cannot be heard has a minute.  That its end of
        the channel is gone while it lives is none of the kernel's errors.
        """
        gone = (self.point is not None and self.point.role == "parent" and
                self.point.err in (errno.ECONNRESET, errno.EPIPE))
        return 80 if gone else 25

    def recover(self):
        """Nothing fails any more."""
        for state in self.states.values():
            if self.point is None or self.point.forever:
                state.disarm()

        def serves():
            if self.ended():
                return True
            self.note_pids()
            return (self.query("udp", 0.5) == self.query("tcp", 0.5)
                    == "right")
        wait_for(serves, self.patience(), "service without a restart")
        if self.ended():
            return
        wait_for(lambda: self.ended() or
                 self.ctl("show", "summary").returncode == 0,
                 15, "dotproxyctl")
        self.judge_confinement()
        self.judge_counters()
        self.judge_descriptors()

    def finish(self):
        self.note_pids()
        if not self.ended():
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(5)
        except subprocess.TimeoutExpired:
            # Its library may have lost the first.
            self.degraded.add("late stop")
            self.process.send_signal(signal.SIGTERM)
            status = self.process.wait(15)
        wait_for(lambda: not any(map(programs.is_alive, self.pids)), 10,
                 "end of all processes")
        return status

    # -- judging --

    def judge_confinement(self):
        def judged():
            if self.ended():
                return True
            done = self.ctl("check", "security")
            return (done.returncode == 0 or
                    done.stdout != "" and self.all_named(done.stdout))
        try:
            wait_for(judged, 5, "confinement")
        except Bad:
            raise Bad("not confined as promised:\n" +
                      self.ctl("check", "security").stdout)

    def all_named(self, text):
        """Each line that is not ok is of what the log has named."""
        named = re.findall(r"warn: (\w+): not on offer here: (.*)",
                           self.daemon.log())
        return bool(named) and all(
            ": ok" in line or "not on offer" in line or any(
                line.lower().startswith("%s: %s" % (role, layer.lower()))
                for role, layers in named for layer in layers.split(", "))
            for line in text.splitlines())

    def judge_counters(self):
        def adds_up():
            return self.ended() or self.daemon._miscount() is None
        wait_for(adds_up, 10, "counters that add up")

    def judge_descriptors(self):
        """None is left over in those that make and hand on descriptors."""
        most = self.around.fds
        if not most:
            return

        def few():
            if self.ended():
                return True
            have = self.descriptors()
            return all(have.get(role, 0) <= most[role] for role in most)
        try:
            wait_for(few, 5, "end of spare descriptors")
        except Bad:
            raise Bad("descriptors left: %r, not %r" % (
                self.descriptors(), most))

    def descriptors(self):
        found = {}
        with contextlib.suppress(OSError, KeyError):
            found["parent"] = programs.open_files(self.process.pid)
            found["listener"] = programs.open_files(
                self.daemon.children()["listener"])
        return found

    def judge_log(self, status):
        log = self.daemon.log()
        check("secret" not in log, "a name of a query in the log")
        check("(null)" not in log, "(null) in the log")
        check("terminating" not in log, "an abort")
        for report in programs.SANITIZER_REPORTS:
            check(report not in log, report)
        lines = log.splitlines()
        died = False
        for i, line in enumerate(lines):
            match = re.search(
                r"warn: (listener|pool) process \(pid \d+\) died: (.*)", line)
            if not match:
                continue
            died = True
            role, how = match.groups()
            before = lines[:i]
            # Then it was told that the peer is gone.
            if self.point.err in (errno.EPIPE, errno.ECONNRESET):
                continue
            if how.startswith("exit status"):
                check(any("error: %s:" % role in b for b in before),
                      "the %s ended without a reason" % role)
            elif how.startswith("signal 9") and self.killed == role:
                self.killed = None
            elif how.startswith("signal 9"):
                check(any("%s: killed:" % role in b for b in before),
                      "the %s was killed without a reason" % role)
            else:
                check(not how.startswith("signal"), "crash: " + line)
        check(status >= 0, "the parent died of signal %d" % -status)
        if status != 0:
            check(status == 1, "exit status %d" % status)
            check(lines, "ended without a reason")
            return "ended with a reason"
        if died:
            return "respawned"
        if self.degraded:
            return "degraded"
        return "answered"

    def whole(self):
        """Returns (outcome, detail)."""
        state = self.states[self.point.role] if self.point else None
        if state:
            state.arm(self.around.index[self.point.role][self.point.function],
                      self.point)
        try:
            self.start()
            self.exercise()
            if self.point and self.point.life == 2 and not self.ended():
                children = self.daemon.children()
                with contextlib.suppress(KeyError, ProcessLookupError):
                    os.kill(children[self.point.role], signal.SIGKILL)
                    self.killed = self.point.role
                time.sleep(0.4)
                self.exercise()
            if not self.ended():
                self.recover()
            status = self.finish()
            if state and not state.fired:
                check(status == 0, "ended by itself")
                return "not reached", ""
            outcome = self.judge_log(status)
            return outcome, ", ".join(sorted(self.degraded))
        except subprocess.TimeoutExpired:
            return "BAD", "does not stop"
        except Bad as why:
            if state and not state.fired:
                return "not reached", "(%s)" % why
            return "BAD", str(why)

    def clean_up(self):
        if self.process is not None:
            with contextlib.suppress(OSError):
                self.pids.update(programs.descendants(self.process.pid))
            for pid in [self.process.pid, *self.pids]:
                programs.end_process(pid)
            self.process.wait()
            self.log = self.daemon.log()
        shutil.rmtree(self.folder, ignore_errors=True)

    def site(self):
        return self.states[self.point.role].site() if self.point else ""
