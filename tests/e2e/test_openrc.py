# SPDX-License-Identifier: ISC
"""
The script for OpenRC, run by Debian's openrc: a root directory of its own, with
that and an installed dotproxy over the one there is, in namespaces.
"""

import os
import shutil
import subprocess

import pytest

from dnsclient import eventually
from programs import BUILD, ROOT, descendants, end_process, executable, run

OPENRC = "/usr/local/lib/dotproxy-tests/openrc"

# What OpenRC does at a boot is more than is wanted here: just its directories.
BOOT = """
set -e
ip link set lo up
mount -t tmpfs tmpfs %(folder)s
mkdir %(folder)s/up %(folder)s/work %(folder)s/root
mount -t overlay overlay -o lowerdir=/,upperdir=%(folder)s/up,\
workdir=%(folder)s/work %(folder)s/root
cd %(folder)s/root
mount -t proc proc proc
mount -t tmpfs tmpfs run
mount --rbind /dev dev
tar -C %(openrc)s -c . | tar -x --keep-directory-symlink
cp -a %(installed)s/. .
rm -f etc/init.d/*.sh
touch etc/insserv.conf
for name in daemons exclusive failed hotplugged inactive options scheduled \
    started starting stopping tmp wasinactive; do
	mkdir -p run/openrc/$name
done
echo default >run/openrc/softlevel
# Whoever is first has to collect those who lose their parents.
exec chroot . bash -c 'sleep 1000; :'
"""


@pytest.fixture
def box(tmp_path):
    if os.geteuid() != 0 or not os.path.isdir(OPENRC):
        pytest.skip("needs root and OpenRC's programs")
    installed, folder = tmp_path / "installed", tmp_path / "box"
    done = run("make", "-s", "-C", str(ROOT), "install",
               "BUILD=%s" % BUILD, "PREFIX=/usr",
               "DESTDIR=%s" % installed)
    assert done.returncode == 0, done.stderr
    (installed / "etc/init.d").mkdir()
    shutil.copy(ROOT / "etc/openrc/dotproxy", installed / "etc/init.d")
    (installed / "etc/init.d/dotproxy").chmod(0o755)
    folder.mkdir()
    process = subprocess.Popen(
        ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--net",
         "--ipc", "--propagation", "private", "sh", "-c",
         BOOT % {"folder": folder, "openrc": OPENRC, "installed": installed}],
        stdin=subprocess.DEVNULL)
    try:
        yield eventually(lambda: find_box(process), seconds=60, what="a box")
    finally:
        for pid in descendants(process.pid):
            end_process(pid)
        end_process(process.pid)
        process.wait()


class Box:
    def __init__(self, pid):
        self.pid = str(pid)
        self.network = ("nsenter", "-t", self.pid, "-n")

    def run(self, *args):
        return run("nsenter", "-t", self.pid, "-m", "-p", "-n", "-r", "-w",
                   *args, timeout=60)

    def service(self, *args):
        """Its exit status, and what it says."""
        done = self.run("rc-service", "dotproxy", *args)
        return done.returncode, done.stdout + done.stderr

    def path(self, name):
        return "/proc/%s/root%s" % (self.pid, name)

    def parent(self):
        return self.run("pgrep", "-x", "dotproxy").stdout.split()


def find_box(process):
    for pid in descendants(process.pid):
        if os.path.basename(executable(pid)) == "sleep":
            return Box(pid)
    return None


def configure(box, text):
    with open(box.path("/etc/dotproxy.conf"), "w") as file:
        file.write(text)


def answers(box):
    done = box.run("dig", "@127.0.0.1", "+tries=1", "+time=2", "+short",
                   "www.test")
    return done.returncode == 0 and done.stdout.strip()


def test_life_under_openrc(box, make_upstream, pki):
    upstream = make_upstream(inside=box.network)
    shutil.copy(pki.ca, box.path("/etc/ssl/test-ca.pem"))
    good = 'user "nobody"\nlisten on 127.0.0.1\n' + upstream.block(
        "up").replace(pki.ca, "/etc/ssl/test-ca.pem")

    # What is wrong with the file is said, and nothing started.
    configure(box, good + "junk\n")
    status, said = box.service("start")
    assert status != 0 and 'unknown keyword "junk"' in said, said
    assert box.parent() == []

    configure(box, good)
    status, said = box.service("start")
    assert status == 0, said
    eventually(lambda: answers(box), what="an answer")
    assert box.service("status")[0] == 0
    status, said = box.service("reload")
    assert status == 0, said

    # A mistake ends nobody who runs.
    first = box.parent()
    configure(box, good + "junk\n")
    for command in "checkconfig", "reload", "restart":
        status, said = box.service(command)
        assert status != 0 and 'unknown keyword "junk"' in said, said
    assert box.parent() == first
    assert answers(box)
    configure(box, good)

    # One that dies is started again.
    box.run("kill", "-9", *first)
    second = eventually(
        lambda: box.parent() not in ([], first) and box.parent(),
        what="another")
    eventually(lambda: answers(box), what="an answer")

    status, said = box.service("restart")
    assert status == 0, said
    assert eventually(box.parent, what="a third") != second
    eventually(lambda: answers(box), what="an answer")

    status, said = box.service("stop")
    assert status == 0, said
    eventually(lambda: box.parent() == [], what="the end")
    assert box.service("status")[0] != 0
    assert not os.path.exists(box.path("/run/dotproxy/dotproxy.sock"))
