# SPDX-License-Identifier: ISC
"""The exporter's page, in a real browser."""

import json
import os

import pytest

import browser
import exporter
import programs
from dnsclient import eventually

pytestmark = pytest.mark.skipif(
    not os.path.exists(browser.CHROMIUM), reason="there is no Chromium")

VIEWS = {"desktop": (1280, 900, False), "phone": (390, 844, True)}


@pytest.fixture
def exported(make_proxy, upstream, tmp_path):
    dead = programs.upstream_block("spare", programs.free_port(),
                                   upstream.pki.ca)
    proxy = make_proxy(upstream, dead, settings="policy round-robin")
    one = exporter.Exporter(tmp_path, proxy.socket)
    one.proxy = proxy
    yield one
    one.stop()


@pytest.fixture
def make_browser(tmp_path):
    running = []

    def make(exported, view="desktop", scheme="light"):
        width, height, mobile = VIEWS[view]
        running.append(browser.Browser(
            tmp_path / ("chromium%d" % len(running)), width, height, scheme,
            mobile))
        running[-1].open("http://%s:%d/" % exported.address)
        return running[-1]
    yield make
    for one in running:
        one.stop()


def shows(page, selector, *texts):
    """Waits until an element has all of these in it."""
    def has_all():
        found = page.text(selector) or ""
        return all(text in found for text in texts)
    eventually(has_all, seconds=30, what="%s with %s" % (selector, texts))


def test_page_shows_the_daemon_as_it_goes(exported, make_browser):
    page = make_browser(exported)
    shows(page, "#upstreams", "up0")
    assert programs.is_flawless(
        programs.load(exported.proxy.address, "-n", "300"))
    shows(page, "#tiles", "300", "100%")
    shows(page, "#upstreams", "up0", "spare", "back-off")
    shows(page, "#verdict", "degraded")
    shows(page, "#alarm", "1 of 2 upstreams down")
    shows(page, "#errors", "spare: connect")
    shows(page, "#processes", "parent", "listener", "pool")
    shows(page, "#hist", "300 queries")
    assert page.run("document.querySelectorAll('#hist rect').length") > 0
    shows(page, "#rate", "received")
    assert page.complaints() == []
    own = "http://%s:%d/" % exported.address
    assert all(url.startswith(own) for url in page.requests())
    assert len(page.requests()) > 4


def test_page_says_when_the_daemon_does_not_answer(exported, make_browser):
    page = make_browser(exported)
    shows(page, "#upstreams", "up0")
    exported.proxy.stop()
    shows(page, "#verdict", "no answer")
    shows(page, "#alarm", "The daemon does not answer", "What is below is of")
    assert page.run("document.title") == "no answer: dotproxy"
    exported.proxy.start()
    eventually(lambda: page.run("document.title") != "no answer: dotproxy",
               seconds=30, what="the page to recover")


def test_page_says_when_the_exporter_does_not_answer(
        make_proxy, upstream, tmp_path, make_browser):
    one = exporter.Exporter(tmp_path, make_proxy(upstream).socket)
    page = make_browser(one)
    shows(page, "#upstreams", "up0")
    one.stop()
    shows(page, "#alarm", "The exporter does not answer")


CONTRAST = """
(() => {
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => (v /= 255) <= .03928 ? v / 12.92 :
        ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const parse = (text) => text.match(/[0-9.]+/g).map(Number);
  const background = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] === 1)
        return c.slice(0, 3);
    }
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let checked = 0;
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !e.checkVisibility() ||
        e.closest("script, title, noscript"))
      continue;
    const style = getComputedStyle(e);
    const a = luminance(parse(e.closest("svg") ? style.fill : style.color)
        .slice(0, 3));
    const b = luminance(background(e));
    checked++;
    if ((Math.max(a, b) + .05) / (Math.min(a, b) + .05) < 4.5)
      poor.push(e.outerHTML);
  }
  return [checked, poor];
})()
"""


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_can_be_read(exported, make_browser, tmp_path, view, scheme):
    """Contrast as WCAG AA asks, and nothing beside the screen."""
    programs.load(exported.proxy.address, "-n", "50")
    page = make_browser(exported, view, scheme)
    shows(page, "#hist", "queries")
    checked, poor = page.run(CONTRAST)
    assert checked > 40 and poor == []
    assert page.run("document.documentElement.scrollWidth") <= VIEWS[view][0]
    shot = tmp_path / "page.png"
    page.screenshot(shot)
    assert shot.stat().st_size > 10000


def test_page_can_be_used_by_keyboard(exported, make_browser):
    page = make_browser(exported)
    shows(page, "#rate", "received")
    eventually(lambda: page.run("history.length") > 2, seconds=30,
               what="a history")
    page.run("document.querySelector('#rate [tabindex]').focus()")
    page.key("ArrowLeft")
    assert page.run("document.querySelectorAll('#rate .cursor').length") == 1
    label = page.run("document.querySelector('#rate [role=img]').ariaLabel")
    assert "received" in label and "now" not in label
    page.key("Escape")
    assert page.run("document.querySelectorAll('#rate .cursor').length") == 0
    page.run("document.getElementById('pause').focus()")
    page.run("document.activeElement.click()")
    assert page.run("document.getElementById('pause').ariaPressed") == "true"


def test_text_of_the_daemon_is_no_markup(exported, make_browser):
    """Were a name full of markup, it would be shown as it is."""
    page = make_browser(exported)
    shows(page, "#upstreams", "up0")
    state = json.loads(exported.get("/api/state")[2])
    state["upstreams"][0]["name"] = "<img src=x onerror=alert(1)>"
    page.run("paused = true; draw(%s)" % json.dumps(state))
    assert "<img src=x" in page.text("#upstreams")
    assert page.run("document.querySelectorAll('img').length") == 0
