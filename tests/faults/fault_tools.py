# SPDX-License-Identifier: ISC
"""
What runs beside a daemon, with a call in it that fails: dotproxyctl, dotproxy
-n, the exporter.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile

from fault_runs import FAULT_SO, Bad, State, check, wait_for

import exporter
import programs


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
        self.port = programs.free_port()
        self.process = None
        self.log = ""
        self.degraded = set()

    def start(self):
        with open(self.log_file, "w") as log:
            self.process = subprocess.Popen(
                [programs.CTL, "-s", str(self.around.daemon.socket),
                 "-l", "127.0.0.1:%d" % self.port, "-u", "nobody",
                 "exporter"],
                env={"LD_PRELOAD": FAULT_SO, "FAULT_DIR": str(self.folder),
                     "FAULT_ROLE": "exporter"},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_for(lambda: self.ended() or self.get("/") is not None,
                     5 if self.point and self.point.forever else 20,
                     "exporter")
        except Bad:     # as long as that lasts, which is not much longer
            if not (self.point and self.point.forever):
                raise
            self.degraded.add("late start")

    def ended(self):
        return self.process.poll() is not None

    def text(self):
        return self.log_file.read_text()

    def get(self, path):
        try:
            status, _, body = exporter.get(("127.0.0.1", self.port), path)
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
            # poll() is what the log is written with.
            check(self.log.strip() or self.point.function == "poll",
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
