# SPDX-License-Identifier: ISC
"""The real Prometheus scrapes the exporter; the dashboard and the alerts."""

import json
import re
import subprocess
import urllib.parse
import urllib.request

import pytest

import exporter
import programs
from dnsclient import eventually
from programs import ROOT, run

RULES = ROOT / "etc/prometheus/dotproxy.rules.yml"
DASHBOARD = ROOT / "etc/grafana/dotproxy.json"


class Prometheus:
    def __init__(self, folder, target):
        port = programs.free_port()
        self.url = "http://127.0.0.1:%d" % port
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            "rule_files: ['%s']\n"
            "scrape_configs:\n"
            "  - job_name: dotproxy\n"
            "    static_configs: [{targets: ['%s:%d']}]\n" % (RULES, *target))
        with open(folder / "prometheus.log", "w") as log:
            self.process = subprocess.Popen(
                ["prometheus", "--config.file=%s" % (folder / "prometheus.yml"),
                 "--storage.tsdb.path=%s" % (folder / "tsdb"),
                 "--web.listen-address=127.0.0.1:%d" % port],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def query(self, expression):
        """The samples of an instant query; an error is an exception."""
        url = self.url + "/api/v1/query?" + urllib.parse.urlencode(
            {"query": expression})
        with urllib.request.urlopen(url, timeout=20) as answer:
            document = json.load(answer)
        assert document["status"] == "success"
        return document["data"]["result"]

    def value(self, expression):
        try:
            result = self.query(expression)
        except OSError:
            return None
        return float(result[0]["value"][1]) if result else None

    def stop(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def scraped(proxy, tmp_path):
    exported = exporter.Exporter(tmp_path, proxy.socket)
    one = Prometheus(tmp_path, exported.address)
    one.proxy, one.exported = proxy, exported
    yield one
    one.stop()
    exported.stop()


def expressions():
    """All queries of the dashboard, its variables filled in."""
    board = json.loads(DASHBOARD.read_text())
    found = [target["expr"] for panel in board["panels"]
             for target in panel.get("targets", [])]
    assert len(found) > 30
    return [re.sub(r"\$(instance|upstream)\b", ".*",
                   query.replace("$__rate_interval", "30s"))
            for query in found]


def names_in(text):
    return set(re.findall(r"\bdotproxy_[a-z_]+\b", text))


def test_prometheus_answers_what_the_dashboard_asks(scraped):
    """PromQL: right in form, and with samples for an answer."""
    assert programs.is_flawless(
        programs.load(scraped.proxy.address, "-n", "400"))
    eventually(lambda: scraped.value(
        'sum(dotproxy_queries_total{transport="udp"})') == 400,
        seconds=60, what="a scrape of all queries")
    assert scraped.value("dotproxy_up") == 1
    assert 0 < scraped.value(
        'histogram_quantile(0.5, '
        'dotproxy_client_rtt_seconds_bucket{transport="udp"})') < 10
    eventually(lambda: all(map(scraped.query, expressions())), seconds=60,
               what="samples for every query of the dashboard")


def test_every_metric_that_is_asked_for_is_there(proxy, tmp_path):
    exported = exporter.Exporter(tmp_path, proxy.socket)
    names = exported.metrics().names()
    text = exported.get("/metrics")[2].decode()
    exported.stop()
    # Of a family without samples yet there is its type.
    names |= set(re.findall(r"^# TYPE (\w+)", text, re.M))
    for file in (DASHBOARD, RULES):
        asked = names_in(file.read_text())
        assert len(asked) > 5 and asked - names == set(), file
    # The manual lists all that are not named after a counter.
    manual = (ROOT / "docs/METRICS.md").read_text()
    told = names_in(manual)
    families = set(re.findall(r"^# TYPE (\w+)", text, re.M))
    assert {name for name in families - told
            if not re.match("dotproxy_(listener|pool)_", name)} == set()
    assert {name for name in told - families
            if not name.endswith("_")} == set()


def test_alerts_fire_when_they_should(tmp_path):
    done = run("promtool", "check", "rules", str(RULES))
    assert done.returncode == 0, done.stdout + done.stderr
    test = tmp_path / "test.yml"
    test.write_text((ROOT / "tests/support/dotproxy.rules.test.yml")
                    .read_text().replace("RULES", str(RULES)))
    done = run("promtool", "test", "rules", str(test))
    assert done.returncode == 0, done.stdout + done.stderr
