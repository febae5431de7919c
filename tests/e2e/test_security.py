# SPDX-License-Identifier: ISC
"""dotproxyctl check security: content with what is built, and with nothing
less.  Each layer of confinement is taken away in turn."""

import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

import programs
from programs import BUILD, CTL, DOTPROXY, FILES, SANITIZED, run

ROLES = ["parent", "listener", "pool"]
CHILDREN = ["listener", "pool"]
NOBODY = 65534

pytestmark = [
    pytest.mark.skipif(
        os.geteuid() != 0, reason="a change of user needs root"),
    pytest.mark.skipif(
        SANITIZED,
        reason="sanitizers do without some of the confinement"),
]


def weaken(folder, name, wrapped, roles):
    """Links programs anew with a layer missing."""
    layer, _, value = name.partition("=")
    define = "-DWEAKEN_" + layer + ("=" + value if value else "")
    return programs.relink(folder, "weaken.c", [define],
                           ["-Wl,--wrap=" + symbol for symbol in wrapped],
                           roles)


@pytest.fixture
def start(pki):
    """Starts a daemon by a command, in a directory that is its user's."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dotproxy-test."))
    daemon = programs.Daemon(folder)

    def start(*command):
        shutil.copy(pki.ca, folder / "ca.pem")
        daemon.command = [*map(str, command)]
        daemon.configure(programs.upstream_block(
            "nowhere", programs.free_port(), folder / "ca.pem"))
        folder.chmod(0o755)
        os.chown(folder, NOBODY, NOBODY)
        daemon.start()
        return daemon

    yield start
    daemon.stop()
    shutil.rmtree(folder)


def test_daemon_as_built_is_as_promised(proxy):
    done = proxy.ctl("check", "security")
    lines = done.stdout.splitlines()
    for role in ROLES:
        assert role + ": ok" in "\n".join(lines)
    assert done.returncode == 0, done.stdout
    assert done.stderr == ""
    # A note is of what this kernel does not have.
    assert all(": ok" in line or "not on offer" in line for line in lines)
    data = proxy.ctl_json("check", "security")
    assert data["ok"] and data["secure"]
    assert {finding["kind"] for finding in data["findings"]} <= {"note"}


WEAKNESSES = [
    # name, functions, programs, what must be said of each
    ("ROOT_DIR", ["chroot"], CHILDREN,
     ["root directory is the same as the parent's"]),
    ("EMPTY_ROOT", ["chroot"], CHILDREN,
     ["root directory is not empty: /usr"]),
    ("DESCRIPTORS", ["chroot"], CHILDREN,
     ["open descriptors of kind file: 1, such as /etc/passwd"]),
    ("USER", ["capng_change_id", "getresuid", "setuid"], CHILDREN,
     ["runs as root: uid 0 0 0 0", "runs as root: gid 0 0 0 0"]),
    ("GROUPS", ["capng_change_id", "layer_check_capabilities"], CHILDREN,
     ["has 1 supplementary groups"]),
    ("CAPABILITIES", ["capng_change_id", "layer_check_capabilities"],
     CHILDREN,
     ["capability bounding set is not empty: "]),
    ("NAMESPACES", ["layer_namespaces"], CHILDREN,
     ["namespaces are shared with the parent: net, ipc, uts, mnt"]),
    ("LANDLOCK", ["layer_landlock"], CHILDREN,
     ["Landlock is missing, though the kernel offers it"]),
    ("MDWE", ["layer_mdwe"], CHILDREN,
     ["memory-deny-write-execute is missing, though the kernel offers it"]),
    ("DUMPABLE", ["prctl"], CHILDREN,
     ["its memory is open to its user: it is dumpable"]),
    ("LIMIT=RLIMIT_NPROC", ["setrlimit"], CHILDREN,
     ["limit of processes is "]),
    ("LIMIT=RLIMIT_CORE", ["setrlimit"], CHILDREN,
     ["limit of core size"]),
    ("LIMIT=RLIMIT_FSIZE", ["setrlimit"], CHILDREN,
     ["limit of file size"]),
    ("SYSTEM_CALLS", ["seccomp_load"], CHILDREN,
     ["system call filter of its own is missing"]),
    ("SYSTEM_CALLS", ["seccomp_load"], ["parent"],
     ["system calls are not filtered"]),
    ("PARENT_CAPABILITIES", ["capng_apply", "layer_check_capabilities"],
     ["parent"],
     ["capability permitted set has more than is needed: ",
      "capability effective set has more than is needed: ",
      "capability bounding set has more than is needed: "]),
]


@pytest.mark.parametrize(
    "name,wrapped,roles,said", WEAKNESSES,
    ids=["%s-%s" % (w[0], w[2][0]) for w in WEAKNESSES])
def test_a_layer_that_is_missing_is_missed(
        start, tmp_path, name, wrapped, roles, said):
    daemon = start(weaken(tmp_path, name, wrapped, roles))
    done = daemon.ctl("check", "security")
    assert done.returncode == 1, done.stdout
    lines = done.stdout.splitlines()
    for role in roles:
        found = [line for line in lines if line.startswith(role + ": ")
                 and ": note: " not in line]
        assert len(found) == len(said), done.stdout
        for line, text in zip(found, said):
            assert text in line
    if name != "SYSTEM_CALLS":  # the children miss the parent's filter
        for role in set(ROLES) - set(roles):
            assert any(line.startswith(role + ": ok") for line in lines)


def test_layers_that_are_missing_are_in_the_log_once(start, tmp_path):
    daemon = start(weaken(tmp_path, "MDWE", ["layer_mdwe"], CHILDREN))
    line = "pool: not on offer here: memory-deny-write-execute"
    assert daemon.log().count(line) == 1
    assert "listener: not on offer here: " in daemon.log()
    daemon.kill_child("pool")
    programs.eventually(lambda: daemon.ctl_json("show", "processes")[
        "processes"][2]["restarts"] == 1, what="new pool")
    assert daemon.log().count(line) == 1
    data = daemon.ctl_json("show", "processes")["processes"]
    assert [process["not_on_offer"] for process in data] == [
        [], ["memory-deny-write-execute"], ["memory-deny-write-execute"]]


def test_a_child_that_was_replaced_is_as_confined(proxy):
    proxy.kill_child("pool")
    # At once: what is being started is not confined yet.
    done = proxy.ctl("check", "security")
    assert done.returncode == 0, done.stdout


def as_nobody(*command):
    return ["setpriv", "--reuid=%d" % NOBODY, "--regid=%d" % NOBODY,
            "--clear-groups", *command]


def test_started_by_a_user_is_noted(start):
    if run(*as_nobody("test", "-x", DOTPROXY)).returncode != 0:
        pytest.skip("the build is not open to other users")
    daemon = start(*as_nobody(DOTPROXY))
    for command in [], as_nobody():
        done = run(*command, CTL, "-s", str(daemon.socket),
                   "check", "security")
        assert done.returncode == 0, done.stdout
        for role in CHILDREN:
            assert role + ": note: not started as root" in done.stdout
            assert role + ": ok, but see the notes" in done.stdout
    assert "only root may see" in done.stdout


def test_container_without_namespaces_is_noted(start):
    daemon = start("setpriv", "--bounding-set=-sys_admin", DOTPROXY)
    done = daemon.ctl("check", "security")
    assert done.returncode == 0, done.stdout
    for role in CHILDREN:
        assert role + ": note: namespaces are shared" in done.stdout
        assert role + ": not on offer here: namespaces" in daemon.log()


def test_show_processes_tells_what_the_kernel_says(proxy):
    pids = proxy.children()
    for process in proxy.ctl_json("show", "processes")["processes"]:
        facts = process["kernel"]
        assert facts["executable"] == str(BUILD / FILES[process["role"]])
        assert facts["seccomp"] == 2 and facts["no_new_privs"]
        assert facts["pss_kb"] > 0
        if process["role"] == "parent":
            assert facts["uid"] == [0] * 4
            continue
        assert process["pid"] == pids[process["role"]]
        assert facts["uid"] == [NOBODY] * 4
        assert set(facts["capabilities"].values()) == {"0" * 16}
        assert facts["root_empty"]
        assert facts["own_namespaces"] == dict.fromkeys(
            ["net", "ipc", "uts", "mnt"], True)
        assert facts["descriptors"]["tcp"] > 0 or process["role"] == "pool"
        assert facts["descriptors"]["file"] == 0
    text = proxy.ctl("show", "processes").stdout
    assert max(map(len, text.splitlines())) <= 80
    assert "?" not in text
