# SPDX-License-Identifier: ISC
"""Releases, "make install" and its opposite, and the Debian package."""

import json
import os
import re
import shutil
import subprocess
import tarfile
import time

import pytest

import machine
import service
from programs import BUILD, LOAD, ROOT, is_flawless, run

NEEDED = ("dpkg-buildpackage", "dh", "dh_apparmor", "lintian")


def make(*args, tree=ROOT, timeout=580):
    environment = {key: value for key, value in os.environ.items()
                   if not key.startswith(("MAKE", "MFLAGS"))}
    done = run("make", "-s", "-C", str(tree), *args, env=environment,
               timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr


def release_of(folder):
    found, = folder.glob("dotproxy-*.tar.gz")
    return found


def test_release_is_the_same_whoever_makes_it(tmp_path):
    first, second = tmp_path / "1", tmp_path / "2"
    make("dist", "BUILD=%s" % first)
    os.chmod(first, 0o700)
    time.sleep(1.1)     # another second
    make("dist", "BUILD=%s" % second, "TZ=Asia/Tokyo")
    archive = release_of(first)
    assert archive.read_bytes() == release_of(second).read_bytes()
    # And from a tree without git: the release itself.
    with tarfile.open(archive) as tar:
        assert {(m.uid, m.gid) for m in tar} == {(0, 0)}
        tar.extractall(tmp_path)
    tree = tmp_path / archive.name[:-len(".tar.gz")]
    assert (tree / "GNUmakefile").exists()
    make("dist", "BUILD=out", tree=tree)
    assert release_of(tree / "out").read_bytes() == archive.read_bytes()


# What the linker is asked for, and what has it in Debian: to build, to run.
LIBRARIES = {
    "cap-ng": ("libcap-ng-dev", "libcap-ng0"),
    "crypto": ("libssl-dev", "libssl3"),
    "event_core": ("libevent-dev", "libevent-core-2.1-7"),
    "ncurses": ("libncurses-dev", "libncurses6"),
    "seccomp": ("libseccomp-dev", "libseccomp2"),
    "ssl": ("libssl-dev", "libssl3"),
    "tinfo": ("libncurses-dev", "libncurses6"),    # which depends on it
    "tls": ("libtls-dev", "libtls26"),
    "yaml": ("libyaml-dev", "libyaml-0-2"),
}


def test_whoever_installs_libraries_installs_all():
    used = set(re.findall(r"-l(\S+)", " ".join(re.findall(
        r": LDLIBS = (.*)", (ROOT / "GNUmakefile").read_text()))))
    assert used == set(LIBRARIES)
    for name, kinds in (
            ("tests/support/deps.sh", (0,)), ("etc/debian/control", (0,)),
            ("etc/container/Containerfile", (0, 1)),
            ("tests/support/sysroot.sh", (0, 1))):
        words = set(re.findall(r"[\w.+-]+", (ROOT / name).read_text()))
        wanted = {library[kind] for library in LIBRARIES.values()
                  for kind in kinds}
        assert wanted - words == set(), name


def missing(tmp_path, *args):
    """What deps.sh would install where there is nothing."""
    for name, text in (("dpkg-query", "exit 1"), ("id", "echo 1000")):
        (tmp_path / name).write_text("#!/bin/sh\n%s\n" % text)
        (tmp_path / name).chmod(0o755)
    done = run("env", "PATH=%s:%s" % (tmp_path, os.environ["PATH"]),
               str(ROOT / "tests/support/deps.sh"), *args)
    assert done.returncode == 1, done.stderr
    return set(done.stderr.partition("apt-get install")[2].split())


def test_each_installs_what_it_needs_and_no_more(tmp_path):
    demo, package, tests = [missing(tmp_path, *args)
                            for args in (["demo"], ["package"], [])]
    build = demo & package
    assert build >= {kinds[0] for kinds in LIBRARIES.values()}
    assert build >= {"gcc", "make", "bison"}
    assert demo - build == {"knot-dnsutils", "openssl", "unbound"}
    assert "debhelper" in package and tests > demo | package


def test_uninstall_leaves_what_was_there(tmp_path):
    make("install", "BUILD=%s" % BUILD, "DESTDIR=%s" % tmp_path)
    installed = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(installed) > 10
    # Every folder is somebody else's, too, but for our own.
    for path in list(tmp_path.rglob("*")):
        if path.is_dir() and path.name != "dotproxy":
            (path / "other").write_text("x")
    config = tmp_path / "etc/dotproxy.conf"
    config.write_text("mine")
    make("install", "BUILD=%s" % BUILD, "DESTDIR=%s" % tmp_path)
    assert config.read_text() == "mine"
    make("uninstall", "DESTDIR=%s" % tmp_path)
    left = [p for p in tmp_path.rglob("*")
            if not p.is_dir() and p.name != "other"]
    assert left == [config]
    assert not list(tmp_path.rglob("libexec/dotproxy"))


def test_scripts_and_profile_parse():
    for name in ("openrc/dotproxy", "debian/dotproxy.postrm",
                 "debian/dotproxy.prerm"):
        done = run("sh", "-n", str(ROOT / "etc" / name))
        assert done.returncode == 0, done.stderr
    if not shutil.which("apparmor_parser"):
        pytest.skip("apparmor_parser is not installed")
    done = run("apparmor_parser", "-Q", "-K",
               str(ROOT / "etc/apparmor/usr.sbin.dotproxy"))
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    for name in NEEDED:
        if not shutil.which(name):
            pytest.skip(name + " is not installed")
    folder = tmp_path_factory.mktemp("package")
    make("deb", "BUILD=%s" % folder)
    found, = (folder / "deb").glob("dotproxy_*_*.deb")
    return found


def test_lintian_has_nothing_to_say(package):
    changes, = package.parent.glob("*.changes")
    done = run("lintian", "--allow-root", "--fail-on", "error,warning",
               str(changes), timeout=580)
    assert done.returncode == 0 and not done.stdout, done.stdout + done.stderr


@pytest.fixture
def box(tmp_path):
    if service.why_not():
        pytest.skip(service.why_not())
    made = machine.Machine(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def answering(box, pki, make_upstream):
    return make_upstream(inside=box.network)


def successor(package, folder):
    """The same, of a later version."""
    run("dpkg-deb", "-R", str(package), str(folder / "next"), check=True)
    control = folder / "next/DEBIAN/control"
    control.write_text(control.read_text().replace("-1\n", "-2\n"))
    run("dpkg-deb", "-b", "--root-owner-group", str(folder / "next"),
        str(folder / "next.deb"), check=True, timeout=120)
    return folder / "next.deb"


def install(box, package):
    shutil.copy(package, box.path("/root/new.deb"))
    box.ok("dpkg", "-i", "/root/new.deb")


def files(box):
    """What is there of dotproxy's."""
    layer = box.path("/")
    found = set()
    for top in ("etc", "usr", "lib", "run"):
        for path in (layer / top).rglob("*dotproxy*"):
            found.add(str(path.relative_to(layer)))
    return found


def main_pid(box):
    return box.ok("systemctl", "show", "--value", "-p", "MainPID",
                  "dotproxy").strip()


def configure(box, pki, upstream):
    shutil.copy(pki.ca, box.path("/etc/ssl/test-ca.pem"))
    box.path("/etc/dotproxy.conf").write_text(
        "listen on 127.0.0.1\nquery timeout 3s\n" + upstream.block(
            "up").replace(str(pki.ca), "/etc/ssl/test-ca.pem"))
    box.ok("systemctl", "reload", "dotproxy")


def test_package_lives_and_leaves_nothing(
        box, package, pki, answering, tmp_path):
    before = files(box)
    install(box, package)
    # It runs, with its own user, and the next boot starts it.
    assert box.ok("systemctl", "is-active", "dotproxy").strip() == "active"
    assert box.ok("systemctl", "is-enabled", "dotproxy").strip() == "enabled"
    assert box.run("systemctl", "is-enabled",
                   "dotproxy.socket").stdout.strip() == "disabled"
    assert "_dotproxy:" in box.path("/etc/passwd").read_text()
    users = box.ok("ps", "-o", "user:20=", "-C", "dotproxy-pool")
    assert users.split() == ["_dotproxy"]
    box.ok("dotproxyctl", "check", "security")

    configure(box, pki, answering)
    configuration = box.path("/etc/dotproxy.conf").read_text()
    load = subprocess.Popen(
        [*box.network, LOAD, "-j", "-s", "127.0.0.1", "-p", "53", "-r", "300",
         "-T", "12"], text=True, stdout=subprocess.PIPE)
    old = main_pid(box)
    install(box, successor(package, tmp_path))
    assert main_pid(box) not in ("0", old)
    assert box.path("/etc/dotproxy.conf").read_text() == configuration
    box.ok("dotproxyctl", "health")
    result = json.loads(load.communicate(timeout=120)[0])
    assert is_flawless(result), result
    assert result["sent"] > 1000

    box.ok("dpkg", "-r", "dotproxy")
    assert not box.run("pgrep", "dotproxy").stdout
    assert box.path("/etc/dotproxy.conf").read_text() == configuration
    box.ok("dpkg", "-P", "dotproxy")
    assert files(box) - before == set()
    assert "dotproxy" not in box.ok("dpkg", "-l")
