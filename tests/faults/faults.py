#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""
Makes calls of the daemon's processes fail, one in a run, and judges what came
of it: fault.c does the failing, this plans it.  A point is a process, a
function, which call of it, an errno, once or from then on.  How many calls
there are is counted in a run without a fault.

Whatever fails, the daemon answers, degrades, or ends with a reason; and when
nothing fails any more it serves as before.  It is never less confined than it
says.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import errno
import json
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
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

import dns.exception    # noqa: E402
import dns.rcode        # noqa: E402

import certs            # noqa: E402
import dnsclient        # noqa: E402
import exporter         # noqa: E402
import programs         # noqa: E402

FAULT_SO = str((programs.BUILD / "tests/fault.so").absolute())

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

# What a step of confinement is made of: whatever fails there must end the
# process, or be named as not on offer.
CONFINEMENT = {
    "capget", "capset", "capng_apply", "capng_change_id",
    "capng_get_caps_process", "capng_update", "chdir", "chroot", "getresuid",
    "prctl", "seccomp_init", "seccomp_load", "seccomp_rule_add",
    "seccomp_rule_add_array", "setgroups", "setresgid", "setresuid",
    "setrlimit", "syscall", "unshare", "close_range", "lstat", "mkdir",
}

E = errno
ERRNOS = {
    "accept4": (E.EMFILE, E.ECONNABORTED, E.ENOMEM, E.EINTR),
    "bind": (E.EADDRINUSE, E.EACCES, E.ENOMEM),
    "capset": (E.EPERM,), "capget": (E.EPERM,),
    "chroot": (E.EPERM, E.ENOENT),
    "close_range": (E.ENOMEM, E.EMFILE),
    "connect": (E.ENETUNREACH, E.ENOMEM, E.EINTR, E.ECONNREFUSED),
    "dup2": (E.EBUSY, E.EINTR),
    "epoll_create1": (E.EMFILE, E.ENOMEM),
    "epoll_ctl": (E.ENOMEM, E.ENOSPC),
    "epoll_wait": (E.EINTR, E.EBADF),
    "execve": (E.ENOMEM, E.EACCES, E.ENOENT),
    "fcntl": (E.EMFILE, E.EINTR),
    "fork": (E.EAGAIN, E.ENOMEM),
    "getrandom": (E.EAGAIN, E.EINTR),
    "kill": (E.EPERM, E.ESRCH),
    "listen": (E.EADDRINUSE,),
    "mkdir": (E.EROFS, E.ENOSPC, E.EACCES),
    "open": (E.EMFILE, E.ENOENT, E.EIO, E.EINTR),
    "openat": (E.EMFILE, E.ENOENT),
    "poll": (E.EINTR, E.ENOMEM),
    "prctl": (E.EPERM, E.EINVAL),
    "read": (E.EINTR, E.EIO, E.EAGAIN),
    "recv": (E.EINTR, E.EAGAIN, E.ECONNRESET, E.ENOMEM),
    "recvmmsg": (E.EINTR, E.EAGAIN, E.ENOMEM, E.ECONNREFUSED),
    "recvmsg": (E.EINTR, E.EAGAIN, E.ECONNRESET, E.ENOMEM),
    "send": (E.EAGAIN, E.EINTR, E.ECONNRESET, E.ENOBUFS, E.EPIPE),
    "sendmmsg": (E.EAGAIN, E.EINTR, E.ENOBUFS, E.EPERM, E.ENETUNREACH),
    "sendmsg": (E.EAGAIN, E.EINTR, E.ENOBUFS, E.EPIPE, E.ETOOMANYREFS),
    "setgroups": (E.EPERM, E.ENOMEM),
    "setresgid": (E.EPERM, E.EAGAIN), "setresuid": (E.EAGAIN, E.EPERM),
    "setrlimit": (E.EPERM, E.EINVAL),
    "setsockopt": (E.ENOMEM, E.ENOPROTOOPT, E.EPERM),
    "socket": (E.EMFILE, E.ENFILE, E.ENOBUFS, E.EAFNOSUPPORT),
    "socketpair": (E.EMFILE, E.ENFILE, E.ENOMEM),
    "syscall": (E.ENOMEM, E.EPERM, E.EINVAL, E.ENOSYS),
    "unlink": (E.EROFS, E.EACCES),
    "unshare": (E.ENOMEM, E.EPERM, E.ENOSPC, E.EINVAL),
    "waitpid": (E.EINTR, E.ECHILD),
    "write": (E.EIO, E.ENOSPC, E.EINTR, E.EAGAIN, E.EPIPE),
}
ALLOCATORS = ("malloc", "calloc", "realloc")

Point = collections.namedtuple(
    "Point", "role function nth err forever life")


def describe(p):
    return "%s: %s %s%d %s%s" % (
        p.role, p.function, "from " if p.forever else "", p.nth,
        errno.errorcode.get(p.err, p.err),
        " in life %d" % p.life if p.life else "")


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
        wait_for(serves, 25, "service without a restart")
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


class Tool:
    """A program that runs for a moment: dotproxyctl, or dotproxy -n."""

    def __init__(self, around, name, point=None):
        self.around, self.name, self.point = around, name, point
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="faults."))
        self.state = State(self.folder / (name + ".state"))
        self.log = ""

    def run(self):
        return subprocess.run(
            self.around.tools[self.name], text=True, timeout=25,
            env={"LD_PRELOAD": FAULT_SO, "FAULT_DIR": str(self.folder),
                 "FAULT_ROLE": self.name, "PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL, capture_output=True)

    def whole(self):
        self.state.arm(self.around.index[self.name][self.point.function],
                       self.point)
        try:
            done = self.run()
        except subprocess.TimeoutExpired:
            return "BAD", "hangs"
        self.log = done.stdout + done.stderr
        status = done.returncode
        if not self.state.fired:
            return "not reached", ""
        if "secret" in self.log or "(null)" in self.log:
            return "BAD", "(null)"
        if status < 0:
            return "BAD", "died of signal %d" % -status
        if status == 0:
            whole = done.stdout.count("\n") >= self.around.lines[self.name]
            return (("answered", "") if whole else
                    ("BAD", "says less, and that all is well"))
        # `check security` and `health` say it on standard output.
        if not self.log.strip():
            # It could not write what it had to say.
            return (("ended with a reason", "to nobody")
                    if self.point.function in ("write", "fstat") else
                    ("BAD", "ended without a reason"))
        return "ended with a reason", self.log.splitlines()[-1]

    def site(self):
        return self.state.site()

    def clean_up(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Exporter:
    """The exporter beside a daemon that has no fault."""

    def __init__(self, around, point=None):
        self.around, self.point = around, point
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="faults."))
        self.state = State(self.folder / "exporter.state")
        self.log_file = self.folder / "log"
        self.process = None
        self.log = ""
        self.degraded = set()

    def start(self):
        with open(self.log_file, "w") as log:
            self.process = subprocess.Popen(
                [programs.CTL, "-s", str(self.around.daemon.socket),
                 "-l", "127.0.0.1:0", "-u", "nobody", "exporter"],
                env={"LD_PRELOAD": FAULT_SO, "FAULT_DIR": str(self.folder),
                     "FAULT_ROLE": "exporter"},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: self.ended() or "serving" in self.text(), 20,
                 "exporter")

    def ended(self):
        return self.process.poll() is not None

    def text(self):
        return self.log_file.read_text()

    def get(self, path):
        match = re.search(r"http://127.0.0.1:(\d+)/", self.text())
        try:
            status, _, body = exporter.get(
                ("127.0.0.1", int(match.group(1))), path)
        except (OSError, exporter.http.client.HTTPException):
            return None
        return status if body else None

    def exercise(self):
        for path in ("/metrics", "/", "/metrics"):
            if self.ended():
                return
            if self.get(path) != 200:
                self.degraded.add(path)

    def judge(self):
        self.start()
        self.exercise()
        if self.point and self.point.forever:
            self.state.disarm()
        wait_for(lambda: self.ended() or (self.get("/metrics") ==
                                          self.get("/") == 200),
                 20, "metrics when nothing fails any more")
        ended = self.ended()
        pids = [self.process.pid, *programs.descendants(self.process.pid)]
        if not ended:
            self.process.terminate()
        try:
            status = self.process.wait(15)
        except subprocess.TimeoutExpired:
            raise Bad("does not stop")
        wait_for(lambda: not any(map(programs.is_alive, pids)), 10,
                 "end of both processes")
        self.log = self.text()
        check("(null)" not in self.log, "(null)")
        if ended:
            check(status == 1, "status %d" % status)
            check("error:" in self.log or self.log.strip(),
                  "ended without a reason")
            check("killed by signal" not in self.log, "crash: " + self.log)
            return "ended with a reason"
        return "degraded" if self.degraded else "answered"

    def whole(self):
        self.state.arm(self.around.index["exporter"][self.point.function],
                       self.point)
        try:
            outcome = self.judge()
        except Bad as why:
            return "BAD", str(why)
        return (outcome if self.state.fired else "not reached",
                ", ".join(self.degraded))

    def site(self):
        return self.state.site()

    def clean_up(self):
        if self.process is not None:
            pids = [self.process.pid,
                    *programs.descendants(self.process.pid)]
            for pid in pids:
                programs.end_process(pid)
            self.process.wait()
            self.log = self.log or self.text()
        shutil.rmtree(self.folder, ignore_errors=True)


def judge_point(around, point):
    if point.role in ROLES:
        run = Run(around, point)
    elif point.role == "exporter":
        run = Exporter(around, point)
    else:
        run = Tool(around, point.role, point)
    began = time.monotonic()
    try:
        outcome, detail = run.whole()
        site = run.site()
    finally:
        run.clean_up()
    return {"point": describe(point), "outcome": outcome,
            "detail": detail, "site": site, "log": run.log,
            "seconds": round(time.monotonic() - began, 2)}


def dry_run(around):
    """Runs without a fault; returns {role: {function: calls}}."""
    run = Run(around)
    try:
        run.start()
        run.exercise()
        check(not run.degraded, "without a fault: %r\n%s" % (
            run.degraded, run.daemon.log()))
        run.recover()
        most = run.descriptors()
        status = run.finish()
        check(run.judge_log(status) == "answered", run.daemon.log())
        counts = {}
        for role, state in run.states.items():
            calls = state.calls()
            around.index[role] = {name: i for name, (i, _) in calls.items()}
            counts[role] = {
                name: n for name, (_, n) in calls.items() if n > 0}
        around.fds = most
        return counts
    finally:
        run.clean_up()


def dry_tools(around):
    """The same for what runs beside a daemon."""
    counts = {}
    for name in around.tools:
        tool = Tool(around, name)
        done = tool.run()
        check(done.returncode == 0, done.stdout + done.stderr)
        # What /proc does not show is left out of these.
        around.lines[name] = (3 if name == "processes"
                              else done.stdout.count("\n"))
        counts[name] = tool.state.calls()
        tool.clean_up()
    other = Exporter(around)
    try:
        check(other.judge() == "answered", other.log)
        counts["exporter"] = other.state.calls()
    finally:
        other.clean_up()
    for role, calls in counts.items():
        around.index[role] = {name: i for name, (i, _) in calls.items()}
    return {role: {name: n for name, (_, n) in calls.items() if n > 0}
            for role, calls in counts.items()}


def which(calls, exhaustive):
    """Numbers of calls: all of the first, and then ever fewer."""
    chosen, n = [], 1
    while n <= calls:
        chosen.append(n)
        n = n + 1 if n < exhaustive else n + max(1, n // 6)
    if calls not in chosen:
        chosen.append(calls)
    return chosen


def plan(counts, exhaustive=24):
    """All points there are."""
    points = []
    for role, functions in counts.items():
        for function, calls in sorted(functions.items()):
            if (role, function) == ("exporter", "write"):
                continue    # its log, by which it is followed
            errnos = ERRNOS.get(function, (E.ENOMEM,))
            confines = function in CONFINEMENT
            every = 200 if confines else exhaustive
            for nth in which(calls, every):
                for i, err in enumerate(errnos):
                    if i > 0 and not confines and nth > 3:
                        continue
                    points.append(Point(role, function, nth, err, 0, 0))
            # What says "try again" does not do so for ever.
            lasting = next((e for e in errnos
                            if e not in (E.EINTR, E.EAGAIN)), E.EIO)
            for nth in (1, calls // 2, calls):
                if nth > 0:
                    points.append(Point(role, function, nth, lasting, 1, 0))
            if role in ("listener", "pool"):
                for nth in ((1, calls) if not confines
                            else which(calls, 200)[::3]):
                    points.append(Point(role, function, nth, lasting, 1, 2))
    return list(dict.fromkeys(points))


def sample(points, count):
    """The same ones every time, some of each function of each process."""
    by_function = collections.defaultdict(list)
    for point in points:
        by_function[point.role, point.function].append(point)
    chosen = []
    rng = random.Random(1)
    while len(chosen) < count and by_function:
        for key in sorted(by_function):
            group = by_function[key]
            if key[1] in CONFINEMENT or len(chosen) < count:
                chosen.append(group.pop(rng.randrange(len(group))))
            if not group:
                del by_function[key]
    return chosen[:count]


@contextlib.contextmanager
def surroundings():
    with tempfile.TemporaryDirectory(prefix="faults-pki.") as folder:
        around = Surroundings(pathlib.Path(folder))
        try:
            yield around
        finally:
            around.stop()


def run_all(around, points, jobs, tell=lambda result: None):
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(judge_point, around, p) for p in points]
        for done in concurrent.futures.as_completed(waiting):
            result = done.result()
            tell(result)
            yield result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-j", "--jobs", type=int, default=4)
    parser.add_argument("-r", "--role")
    parser.add_argument("-f", "--function", action="append")
    parser.add_argument("-n", "--sample", type=int)
    parser.add_argument("-o", "--output", help="all results, as JSON")
    parser.add_argument("-l", "--list", action="store_true")
    parser.add_argument("-v", "--verbose", action="store_true")
    args = parser.parse_args()
    began = time.monotonic()
    with surroundings() as around:
        counts = {**dry_run(around), **dry_tools(around)}
        points = [p for p in plan(counts)
                  if args.role in (None, p.role)
                  and (not args.function or p.function in args.function)]
        if args.sample:
            points = sample(points, args.sample)
        print("%d points" % len(points), flush=True)
        if args.list:
            for key, n in sorted(collections.Counter(
                    (p.role, p.function) for p in points).items()):
                print("%s %s: %d of %d calls" % (
                    *key, n, counts[key[0]][key[1]]))
            return 0
        results = []
        for result in run_all(around, points, args.jobs):
            results.append(result)
            if args.verbose or result["outcome"] == "BAD":
                print("%(outcome)s: %(point)s [%(site)s] %(seconds)s s: "
                      "%(detail)s" % result, flush=True)
    outcomes = collections.Counter(r["outcome"] for r in results)
    for outcome, n in outcomes.most_common():
        print("%6d %s" % (n, outcome))
    print("%d s" % (time.monotonic() - began))
    if args.output:
        pathlib.Path(args.output).write_text(json.dumps(results, indent=1))
    return 1 if outcomes["BAD"] else 0


if __name__ == "__main__":
    sys.exit(main())
