# SPDX-License-Identifier: ISC
"""
systemd as the first process of a PID and a mount namespace, with the units of
etc/systemd as they are but for their paths, and dotproxy as "make install" puts
it.  It shares the network, so that clients and upstreams need nothing special.
"""

import os
import pathlib
import subprocess
import time

from programs import (BUILD, ROOT, descendants, end_process, executable,
                      free_port, run)

SYSTEMD = "/lib/systemd/systemd"
# What units refer to, whether they say so or not.
TARGETS = ("basic.target", "sysinit.target", "sockets.target",
           "shutdown.target", "umount.target", "system.slice",
           "slices.target", "multi-user.target", "nss-lookup.target",
           "network.target", "-.slice")

BOOT = """
set -e
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /opt
cp -a %(folder)s/root /opt/
export container=other SYSTEMD_UNIT_PATH=%(folder)s/units
exec %(systemd)s --system --unit=multi-user.target --log-target=console \\
	--show-status=false
"""


def why_not():
    """Why systemd cannot be had here; None if it can."""
    if os.geteuid() != 0:
        return "needs root, for namespaces"
    if not os.path.exists(SYSTEMD):
        return "no systemd"
    if not os.path.ismount("/sys/fs/cgroup"):
        return "no control groups"
    return None


class Systemd:
    """A service manager of our own."""

    def __init__(self, folder, daemon, drop_in=""):
        self.folder = folder
        units = folder / "units"
        units.mkdir()
        for name in TARGETS:
            source = pathlib.Path("/lib/systemd/system") / name
            if source.exists():
                (units / name).write_text(source.read_text())
        (units / "multi-user.target").write_text(
            "[Unit]\nRequires=basic.target\n")
        done = run("make", "-s", "-C", str(ROOT), "install",
                   "BUILD=%s" % BUILD, "PREFIX=/usr",
                   "DESTDIR=%s" % (folder / "root"))
        assert done.returncode == 0, done.stderr
        installed = folder / "root/usr/lib/systemd/system"
        self.exporter_port = free_port()
        for path in installed.glob("dotproxy*.s*"):
            text = path.read_text()
            text = text.replace("/usr/", "/opt/root/usr/")
            text = text.replace(" -d\n", " -d -f %s\n" % daemon.file)
            text = text.replace("127.0.0.1:53", "127.0.0.1:%d" % daemon.port)
            text = text.replace(
                "dotproxyctl exporter", "dotproxyctl -l 127.0.0.1:%d exporter"
                % self.exporter_port)
            (units / path.name).write_text(text)
        # There is no journal, and /tmp, where tests have their files, is the
        # service's own.
        for name, more in (("dotproxy", drop_in), ("dotproxy-exporter", "")):
            extra = units / (name + ".service.d")
            extra.mkdir()
            (extra / "test.conf").write_text(
                "[Service]\nStandardError=append:%s\n"
                "BindReadOnlyPaths=%s\n%s\n"
                % (folder / "log", os.path.dirname(folder.parent), more))
        (folder / "boot").write_text(
            BOOT % {"folder": folder, "systemd": SYSTEMD})
        self.process = None

    def start(self):
        with open(self.folder / "boot.log", "w") as log:
            self.process = subprocess.Popen(
                ["unshare", "--fork", "--kill-child", "--pid", "--mount",
                 "--ipc", "--uts", "--propagation", "private", "--", "sh",
                 str(self.folder / "boot")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while self.ctl("is-system-running").stdout.strip() not in (
                "running", "degraded"):
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def log(self):
        return "".join(path.read_text(errors="replace")
                       for path in self.folder.glob("*log"))

    def first(self):
        """The PID of systemd itself, out here."""
        for pid in descendants(self.process.pid):
            if executable(pid).endswith(SYSTEMD):
                return pid
        return None

    def ctl(self, *args):
        """systemctl in there."""
        first = self.first()
        if first is None:
            return subprocess.CompletedProcess(args, 1, "", "not there yet")
        return run("nsenter", "-t", str(first), "-m", "-p", "systemctl",
                   *args)

    def show(self, name, unit="dotproxy.service"):
        return self.ctl("show", "--value", "-p", name, unit).stdout.strip()

    def processes(self):
        """dotproxy's, by the name of the executable."""
        return {os.path.basename(executable(pid)): pid
                for pid in descendants(self.process.pid)
                if "/dotproxy" in executable(pid)}

    def stop(self):
        if self.process is None:
            return
        for pid in descendants(self.process.pid):
            end_process(pid)
        end_process(self.process.pid)
        self.process.wait()
        self.process = None
