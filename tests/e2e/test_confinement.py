# SPDX-License-Identifier: ISC
"""What the children are denied, as the kernel tells it."""

import os
import pathlib
import pwd

import pytest

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="a change of user needs root")


def status(pid):
    lines = pathlib.Path("/proc/%d/status" % pid).read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


@pytest.mark.parametrize("role", ["listener", "pool"])
def test_child_is_confined(proxy, role):
    pid = proxy.child(role)
    values = status(pid)
    uid = str(pwd.getpwnam("nobody").pw_uid)
    assert values["Uid"].split() == [uid] * 4
    assert values["Groups"].split() in ([], values["Gid"].split()[:1])
    for kind in "Inh", "Prm", "Eff", "Bnd", "Amb":
        assert int(values["Cap" + kind], 16) == 0
    assert values["NoNewPrivs"] == "1"
    assert values["Seccomp"] == "2"


@pytest.mark.parametrize("role", ["listener", "pool"])
def test_child_sees_an_empty_file_system(proxy, role):
    assert os.listdir("/proc/%d/root" % proxy.child(role)) == []
