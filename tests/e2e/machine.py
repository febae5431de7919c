# SPDX-License-Identifier: ISC
"""
A machine of our own to install packages on: the root directory under a layer
that takes all changes, with systemd as its first process, in namespaces (also
of the network: its port 53 is nobody else's).
"""

import pathlib
import subprocess
import time

import service
from programs import descendants, end_process, executable, run

# What starts with this machine shall not start with that one, and nothing that
# is installed or made on it is to be seen.
BOOT = """
set -e
ip link set lo up
mount -t tmpfs tmpfs %(folder)s
mkdir %(folder)s/up %(folder)s/work %(root)s
mount -t overlay overlay -o lowerdir=/,upperdir=%(folder)s/up,\
workdir=%(folder)s/work %(root)s
cd %(root)s
rm -rf etc/systemd/system/* lib/systemd/system/*.wants \
	usr/sbin/policy-rc.d var/lib/man-db/auto-update \
	etc/dotproxy.conf usr/local/sbin/dotproxy
sed -i /^_dotproxy:/d etc/passwd etc/group etc/shadow etc/gshadow
rm -f var/lib/dpkg/lock* etc/.pwd.lock
printf '[Unit]\\nRequires=basic.target\\n' >lib/systemd/system/multi-user.target
mount -t proc proc proc
mount -t tmpfs tmpfs run
mount --rbind /sys sys
mount --rbind /dev dev
export container=other
exec chroot . %(systemd)s --system --unit=multi-user.target \
	--log-target=console --show-status=false
"""


class Machine:
    def __init__(self, folder):
        self.log_file = folder / "machine.log"
        folder = folder / "machine"
        folder.mkdir()
        self.root = folder / "root"
        boot = BOOT % {"folder": folder, "root": self.root,
                       "systemd": service.SYSTEMD}
        with open(self.log_file, "w") as log:
            self.process = subprocess.Popen(
                ["unshare", "--fork", "--kill-child", "--pid", "--mount",
                 "--ipc", "--uts", "--net", "--propagation", "private", "--",
                 "sh", "-c", boot],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.first = None
        deadline = time.monotonic() + 60
        while not self._is_up():
            assert time.monotonic() < deadline, self.log_file.read_text()
            assert self.process.poll() is None, self.log_file.read_text()
            time.sleep(0.05)

    def _is_up(self):
        for pid in descendants(self.process.pid):
            if executable(pid).endswith(service.SYSTEMD):
                self.first = pid
                break
        else:
            return False
        return self.run("systemctl", "is-system-running").stdout.strip() in (
            "running", "degraded")

    @property
    def network(self):
        """What to put before a command for it to have that network."""
        return ("nsenter", "-t", str(self.first), "-n")

    def run(self, *args, timeout=120):
        """Runs a command there."""
        return run("nsenter", "-t", str(self.first), "-m", "-p", "-n", "-r",
                   "-w", *args, timeout=timeout)

    def ok(self, *args):
        done = self.run(*args)
        assert done.returncode == 0, (args, done.stdout, done.stderr)
        return done.stdout

    def path(self, name):
        """A file there, from here."""
        return pathlib.Path("/proc/%d/root" % self.first, name.lstrip("/"))

    def stop(self):
        for pid in descendants(self.process.pid):
            end_process(pid)
        end_process(self.process.pid)
        self.process.wait()
