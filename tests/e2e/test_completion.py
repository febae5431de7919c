# SPDX-License-Identifier: ISC
"""What shells complete after dotproxyctl, in real shells."""

import os
import subprocess

import pytest

from dnsclient import eventually
from programs import CTL, run
from terminal import Terminal
from test_liar import NAME, Relay, lie_about_the_name

ETC = os.path.abspath(
    os.path.join(os.path.dirname(__file__), "../../etc/completion"))

BASH = """
source %s/dotproxyctl.bash
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_dotproxyctl
printf '%%s\\n' "${COMPREPLY[@]}"
"""


def bash(*words, ctl=CTL, **kw):
    done = run("bash", "--norc", "-c", BASH % ETC, "bash", ctl, *words, **kw)
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands():
    assert "show" in bash("") and "upstream" in bash("")
    assert bash("sh") == ["show"]
    assert {"pool", "processes"} <= set(bash("show", "p"))
    assert bash("show", "po") == ["pool"]
    assert bash("-j", "log", "level", "d") == ["debug"]
    assert bash("-w", "2", "drain", "of") == ["off"]
    assert bash("reload", "") == []
    assert "--socket" in bash("--s")
    assert bash("nonsense", "") == []


def test_bash_completes_names(make_proxy, make_upstream):
    proxy = make_proxy(make_upstream().block("quad9"),
                       make_upstream().block("spare"))
    assert bash("-s", str(proxy.socket), "upstream", "q") == ["quad9"]
    assert bash("-s", str(proxy.socket), "upstream", "quad9", "d") == [
        "disable"]


@pytest.mark.parametrize("name", [
    "$(>ran)", "`>ran`", ";>ran", "a b", "-x", "a\\$(>ran)", "'$(>ran)"])
def test_bash_runs_no_name_of_a_liar(make_proxy, upstream, tmp_path, name):
    """Who has taken the listener or the pool over chooses these names."""
    proxy = make_proxy(upstream.block(NAME))
    relay = Relay(tmp_path / "liar", proxy.socket)
    relay.change = lie_about_the_name(name)
    try:
        where = "-s", str(relay.path)
        shown = run(CTL, *where, "-j", "show", "upstreams").stdout
        assert NAME not in shown and "xxxx" in shown    # it was believed
        assert run(CTL, *where, "complete", "--", "upstream").stdout == ""
        assert bash(*where, "upstream", "", cwd=tmp_path) == []
        assert not (tmp_path / "ran").exists()
    finally:
        relay.close()


def test_bash_expands_nothing(tmp_path):
    """Whatever it is told, by whom."""
    told = tmp_path / "dotproxyctl"
    told.write_text("#!/bin/sh\necho '$(>ran)'\necho '`>ran`'\n")
    told.chmod(0o755)
    bash("upstream", "", ctl=str(told), cwd=tmp_path)
    assert not (tmp_path / "ran").exists()


def test_zsh_completes(tmp_path):
    """Typed into one, with the Tab key."""
    (tmp_path / "dotproxyctl").symlink_to(os.path.abspath(CTL))
    term = Terminal(tmp_path, "PATH=%s:$PATH PS1='%%%% ' zsh -f" % tmp_path)
    try:
        term.keys("fpath=(%s $fpath)" % os.path.abspath(ETC), "Enter")
        term.keys("autoload -U compinit; compinit -u -D; echo rea''dy",
                  "Enter")
        term.shows("\nready")
        term.keys("dotproxyctl relo", "Tab")
        term.shows("dotproxyctl reload")
        term.keys("C-u", "dotproxyctl show pr", "Tab")
        term.shows("dotproxyctl show processes")
        term.keys("C-u", "dotproxyctl upstream x dis", "Tab")
        term.shows("dotproxyctl upstream x disable")
    finally:
        term.close()


def test_every_command_is_in_the_manual():
    """The words come from the table that commands are parsed by."""
    manual = os.path.join(os.path.dirname(__file__),
                          "../../docs/dotproxyctl.8")
    with open(manual) as f:
        text = f.read()

    def words(*before):
        return run(CTL, "complete", "--", *before).stdout.split()

    assert len(words()) >= 10
    for word in words():
        assert ".It Cm %s" % word in text, word
    for word in words("show"):
        assert ("Cm show %s\n" % word in text
                or "show Op Cm %s" % word in text), word
