"""`leat dashboard`: its page, as a browser shows it, and what it refuses."""
import contextlib
import json
import re
import shutil
import urllib.error
import urllib.request

import pytest

from mesh import asks_leat
from lab import wait_for
from shop import NAMESPACE

pytestmark = asks_leat
BROWSER = shutil.which("chromium")


@contextlib.contextmanager
def dashboard(shop):
    program = shop.a.start([shop.a.lab.binary("leat"), "dashboard"], {"LEAT_AGENT": str(shop.a.api_socket)})
    program.expect("http://127.0.0.1:")
    try:
        yield re.search(r"http://127\.0\.0\.1:\d+/", program.text())[0]
    finally:
        program.terminate()


def fetch(url, **headers):
    """(status, headers, body), as a program of the node."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read().decode()


@pytest.fixture
def split(shop):
    shop.split(70, 30)
    yield
    shop.lab.objects.remove("split")


def measured(shop, url):
    """/data, once it has seen requests of the frontend."""
    def ask():
        shop.ask(20, each=5)
        data = json.loads(shop.a.call(fetch, url + "data")[2])
        return data if data["edges"] and any(route["host"] == "backend" for route in data["routes"]) else None
    return wait_for(ask, "the dashboard has measured")


def test_its_data_are_edges_and_splits_as_configured_and_measured(shop, split):
    with dashboard(shop) as url:
        data = measured(shop, url)
    edge = next(edge for edge in data["edges"] if edge["source"] == "frontend" and edge["service"] == "backend")
    assert edge["rate"] > 0 and edge["successRate"] == 1 and edge["p99Ms"] > 0
    route = next(route for route in data["routes"] if route["host"] == "backend")
    assert [to["percent"] for to in route["destinations"]] == [70, 30]
    assert sum(to["measuredPercent"] for to in route["destinations"]) == pytest.approx(100)
    assert route["load"]["rate"] > 0 and route["load"]["successRate"] == 1 and route["load"]["p99Ms"] > 0


def test_it_answers_nobody_who_came_by_another_name(shop):
    with dashboard(shop) as url:
        assert shop.a.call(fetch, url + "data", )[0] == 200
        assert shop.a.call(fetch_as, url + "data", "evil.example")[0] == 403
        status, headers, _ = shop.a.call(fetch, url)
        assert status == 200 and "default-src 'none'" in headers["content-security-policy"]
        assert shop.a.call(fetch, url + "other")[0] == 404


def fetch_as(url, host):
    return fetch(url, Host=host)


@pytest.mark.skipif(BROWSER is None, reason="needs a browser: apt-get install chromium")
def test_a_browser_shows_the_graph_the_edges_and_the_split(shop, split, tmp_path):
    with dashboard(shop) as url:
        measured(shop, url)
        picture = tmp_path / "page.png"
        shown = shop.a.run([BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--virtual-time-budget=4000",
                            "--window-size=1280,900", "--dump-dom", url], timeout=90).stdout
        shop.a.run([BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--virtual-time-budget=4000",
                    "--window-size=1280,900", f"--screenshot={picture}", url], timeout=90)
    assert picture.stat().st_size > 10_000
    assert f"{NAMESPACE}/frontend" in shown and f"{NAMESPACE}/backend" in shown and "<svg" in shown
    assert "70.0 %" in shown and "measured over" in shown
    assert 'class="good"' in shown
