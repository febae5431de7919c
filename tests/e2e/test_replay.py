# SPDX-License-Identifier: ISC
"""The language of tests/replay: loops, and what is said of those that fail."""

import pytest

from programs import BUILD, run

REPLAY = str(BUILD / "tests/replay/replay")
START = "scenario s\nupstream a\nstart\nwait 10ms\n"  # four lines


def play(tmp_path, text):
    script = tmp_path / "x.rpl"
    script.write_text(text)
    return run(REPLAY, str(script)), str(script)


def test_lines_are_repeated_with_the_number_of_the_round(tmp_path):
    done, _ = play(
        tmp_path, START + "repeat 12 # rounds\nask q$round.*2\nwait 20ms\n"
        "end\nexpect q12.*2 answered\nexpect a queries 24\n")
    assert done.returncode == 0, done.stdout


def test_repeats_follow_each_other_and_stand_in_for(tmp_path):
    done, _ = play(
        tmp_path, "for n in 1 3\nscenario $n\nupstream a\nstart\n"
        "repeat $n\nask q$round\nend\nrepeat 2\nask r$round.$n\nend\n"
        "wait 50ms\nexpect r2.$n answered\nexpect a queries 5\nend\n"
        "scenario last\n")
    assert done.stdout.splitlines()[:2] == [
        "not ok 1 - 1", "# %s:13: a queries is 3, expected 5" % (
            tmp_path / "x.rpl")]
    assert done.stdout.splitlines()[4:] == ["ok 2 - 3", "ok 3 - last", "1..3"]


def test_a_failure_names_its_line_and_round(tmp_path):
    done, script = play(
        tmp_path, START + "repeat 3\nexpect a queries <$round\nask q$round\n"
        "wait 20ms\na answer silent\nend\n")
    assert done.returncode == 0, done.stdout
    done, script = play(
        tmp_path, START + "repeat 3\nask q$round\nwait 20ms\n"
        "expect q$round answered\na answer silent\nend\n")
    assert done.returncode == 1
    assert "%s:8: q2 is pending, expected answered\n#   expect q2 answered\n" \
        % script in done.stdout


@pytest.mark.parametrize("text, line, why", [
    ("wait 1ms\nend\n", 6, "an end without for or repeat"),
    ("repeat 2\nwait 1ms\nend\nend\n", 8, "an end without for or repeat"),
    ("repeat 2\nwait 1ms\n", 5, "a repeat without end"),
    ("repeat 2\nwait 1ms\nscenario t\nend\n", 5, "a repeat without end"),
    ("repeat 2\nrepeat 2\nend\nend\n", 6, "a repeat has to be in a scenario"),
    ("for n in 1 2\nrepeat 2\nend\nend\n", 6,
     "a repeat has to be in a scenario"),
    ("for n in 1 2\nscenario t\n", 5, "a for without end"),
    ("repeat\nend\n", 5, "repeat needs a number from 1 to 1000"),
    ("repeat 0\nend\n", 5, "repeat needs a number from 1 to 1000"),
    ("repeat -1\nend\n", 5, "repeat needs a number from 1 to 1000"),
    ("repeat 1001\nend\n", 5, "repeat needs a number from 1 to 1000"),
    ("repeat 2x\nend\n", 5, "repeat needs a number from 1 to 1000"),
    ("repeat 2 3\nend\n", 5, "repeat needs a number from 1 to 1000"),
])
def test_what_is_no_repeat_is_named_with_its_line(tmp_path, text, line, why):
    done, script = play(tmp_path, START + text)
    assert done.returncode == 1
    assert "# %s:%d: %s" % (script, line, why) in done.stdout
    assert done.stdout.endswith("1..1\n")
