"""What the network may ask of a node: /metrics, /healthz, /readyz, as Prometheus' own parsers read them."""
import gzip
import json
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request

import pytest

from mesh import REPOSITORY, asks_leat, metrics, running_shop
from lab import wait_for

parsers = pytest.importorskip("prometheus_client.parser", reason="needs python3-prometheus-client")
from prometheus_client.openmetrics import parser as openmetrics  # noqa: E402
from prometheus_client import parser as prometheus  # noqa: E402

pytestmark = asks_leat
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


def fetch(url, headers=()):
    """(status, headers, body), as a program of the node."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=dict(headers)), timeout=10) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, {name.lower(): value for name, value in error.headers.items()}, error.read()


def scrape(node, headers=()):
    """The families of a scrape, by name."""
    status, got, body = node.call(fetch, node.metrics_url + "/metrics", headers)
    assert status == 200
    if got.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    read = openmetrics if got["content-type"].startswith("application/openmetrics-text") else prometheus
    return {family.name: family for family in read.text_string_to_metric_families(body.decode())}


def total(families, name, **labels):
    family = families.get(name) or families.get(name.removesuffix("_total"))
    return sum(sample.value for sample in family.samples if sample.name == name and labels.items() <= sample.labels.items()) if family else 0


@pytest.mark.parametrize("headers", [{}, {"Accept": OPENMETRICS}, {"Accept-Encoding": "gzip"}], ids=["text", "openmetrics", "gzip"])
def test_a_scrape_is_what_prometheus_own_parser_reads(shop, headers):
    shop.ask(20, each=2)
    families = scrape(shop.a, headers)
    assert total(families, "istio_requests_total", source_workload="frontend", destination_service_name="backend") >= 20
    durations = families["istio_request_duration_milliseconds"]
    assert durations.type == "histogram"
    assert {"0.5", "+Inf"} <= {sample.labels["le"] for sample in durations.samples if sample.name.endswith("_bucket")}


def test_the_agents_counters_are_in_it_and_both_say_the_same_as_leat_metrics(shop):
    shop.ask(20)
    shop.ask(5, url="http://backend:8081/")
    families = scrape(shop.a)
    for name in ("leat_agent_model_generation", "leat_agent_model_age_seconds", "leat_agent_edit_median_seconds", "leat_map_entries",
                 "leat_capture_connect_captured_total", "leat_direct_opened_total", "leat_proxy_info"):
        assert name in families or name.removesuffix("_total") in families, name
    # Kernel-direct connections, which only the agent counts, and the proxy's are under one name.
    assert total(families, "istio_tcp_connections_opened_total", reporter="source", source_workload="frontend",
                 destination_service_name="backend") >= 5
    told = {name for name, family in families.items() for name in (family.name, family.name + "_total")}
    missing = {each["name"] for each in metrics(shop.a)} - told
    assert not missing


def test_every_family_says_what_it_is_of(shop):
    shop.ask(2)
    families = scrape(shop.a, {"Accept": OPENMETRICS})
    assert not [name for name, family in families.items() if not family.documentation]


def test_certificates_say_until_when_they_hold(shop):
    families = scrape(shop.a)
    until = {sample.labels["identity"]: sample.value for sample in families["leat_certificate_not_after_timestamp_seconds"].samples}
    assert until["spiffe://cluster.local/ns/shop/sa/frontend"] > families["leat_certificate_not_before_timestamp_seconds"].samples[0].value
    assert total(families, "leat_certificate_valid", identity="spiffe://cluster.local/ns/shop/sa/frontend") == 1


def test_counters_never_shrink_while_requests_go_on(shop):
    last = {}
    for _ in range(5):
        shop.ask(10, each=2)
        for family in scrape(shop.a).values():
            if family.type != "counter":
                continue
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                assert sample.value >= last.get(key, 0), key
                last[key] = sample.value


def test_health_and_readiness_follow_the_proxys_life():
    with running_shop() as shop:
        node = shop.a
        assert node.call(fetch, node.metrics_url + "/healthz")[0] == 200
        assert node.call(fetch, node.metrics_url + "/readyz")[::2] == (200, b"ok\n")
        node.agent.kill()
        assert node.call(fetch, node.metrics_url + "/readyz")[0] == 200  # it serves on with its last model
        families = scrape(node)
        assert total(families, "leat_proxy_agent_connected") == 0 and total(families, "istio_requests_total") >= 0
        node.start_agent()
        node.wait_ready()
        # A second proxy takes over, and the address with it.
        before = instance(node)
        node.start_proxy()
        wait_for(lambda: instance(node) not in (None, before), "the new proxy serves the address", timeout=30)
        wait_for(lambda: node.call(fetch, node.metrics_url + "/readyz")[0] == 200, "the new proxy is ready", timeout=30)


def instance(node):
    try:
        return scrape(node)["leat_proxy_info"].samples[0].labels["instance"]
    except Exception:
        return None


# ---------------------------------------------------------------- dashboards

def queries():
    """Every PromQL expression of the dashboards, with its panel's title."""
    def panels(of):
        for panel in of.get("panels", []):
            yield panel
            yield from panels(panel)
    for file in sorted((REPOSITORY / "charts" / "leat" / "files" / "dashboards").glob("*.json")):
        board = json.loads(file.read_text())
        for panel in panels(board):
            for target in panel.get("targets", []):
                yield f"{file.name}: {panel['title']}", target["expr"]
        for variable in board.get("templating", {}).get("list", []):
            if variable["type"] == "query":
                yield f"{file.name}: variable {variable['name']}", variable["query"]


def named(expression):
    """Metric names, and label names, in an expression."""
    names = set(re.findall(r"\b(?:istio|leat|process)_[a-z0-9_]+\b(?=[{\[,)\s]|$)", expression))
    labels = {label for part in re.findall(r"\{([^}]*)\}", expression) for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", part)}
    labels |= {label.strip() for part in re.findall(r"(?:by|ignoring|on|without)\s*\(([^)]*)\)", expression) for label in part.split(",")}
    for label in re.findall(r"label_values\([^,]+,\s*(\w+)\)", expression):
        labels.add(label)
    return names - labels, labels - {""}


def test_dashboards_name_only_what_leat_says(shop):
    shop.ask(20, each=2)
    shop.ask(5, url="http://backend:8081/")
    known = {}
    for family in scrape(shop.a).values():
        for sample in family.samples:
            known.setdefault(sample.name, set()).update(sample.labels)
    checked = 0
    for title, expression in queries():
        names, labels = named(expression)
        assert names, f"{title}: no metric in {expression}"
        for name in names:
            assert name in known, f"{title}: nothing is called {name}"
            checked += 1
        unknown = labels - set().union(*(known[name] for name in names))
        assert not unknown, f"{title}: no label {unknown} in {names}"
    assert checked > 10


# ---------------------------------------------------------------- Prometheus itself

PROMETHEUS = shutil.which("prometheus")
PROMETHEUS_URL = "http://127.0.0.1:19090"


def ask_prometheus(query):
    """The values that it answers to an instant query, as a program of the node."""
    status, _, body = fetch(f"{PROMETHEUS_URL}/api/v1/query?" + urllib.parse.urlencode({"query": query}))
    answer = json.loads(body)
    return [float(each["value"][1]) for each in answer["data"]["result"]] if status == 200 else answer.get("error", status)


@pytest.mark.skipif(PROMETHEUS is None, reason="needs Prometheus: apt-get install prometheus")
def test_prometheus_scrapes_a_node_and_every_panel_has_data(shop, tmp_path):
    config = tmp_path / "prometheus.yml"
    config.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [
        {"job_name": "leat", "static_configs": [{"targets": [shop.a.metrics_url.removeprefix("http://")]}]}]}))
    shop.split(70, 30)
    prometheus = shop.a.start([PROMETHEUS, f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data",
                               f"--web.listen-address={PROMETHEUS_URL.removeprefix('http://')}"])

    def every_panel_has_data():
        shop.ask(50, each=5)
        shop.ask(5, url="http://backend:8081/")
        assert prometheus.alive, prometheus.text()[-1000:]
        empty = []
        for title, expression in queries():
            if "label_values" in expression or "response_flags!=" in expression:
                continue  # Grafana's own; and nothing fails here
            asked = expression.replace("$__rate_interval", "10s").replace("$namespace", ".*")
            answer = shop.a.call(ask_prometheus, asked)
            if not isinstance(answer, list):
                pytest.fail(f"{title}: {asked}: {answer}")
            if not answer:
                empty.append(title)
        assert not empty, empty
        return True
    try:
        wait_for(every_panel_has_data, "every panel has data", timeout=90, interval=0.5)
        assert shop.a.call(ask_prometheus, "up") == [1.0]
    finally:
        prometheus.terminate()
        shop.lab.objects.remove("split")
