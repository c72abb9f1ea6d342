"""The page in a real Chromium without a network, over its debugging pipe."""

import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium to show the page in")
SWITCHES = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:9"),
    "--remote-debugging-pipe",
)
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


class Browser:
    """One tab; `events` holds all that it has said, in order."""

    def __init__(self, profile):
        shell = ["sh", "-c", 'exec "$@" 3<&0 4>&1 2>/dev/null', "sh"]  # the pipe is 3 and 4
        command = [*shell, CHROMIUM, *SWITCHES, f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.ids, self.events, self.buffer, self.session = itertools.count(1), [], b"", None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        number = next(self.ids)
        message = {"id": number, "method": method, "params": parameters}
        message |= {"sessionId": self.session} if self.session else {}
        self.process.stdin.write(json.dumps(message).encode() + b"\0")
        self.process.stdin.flush()
        answer = self.wait(lambda event: event.get("id") == number)
        assert "error" not in answer, answer
        return answer["result"]

    def wait(self, wanted):
        while True:
            while b"\0" not in self.buffer:
                part = self.process.stdout.read1(1 << 20)
                assert part, "chromium has ended"
                self.buffer += part
            line, self.buffer = self.buffer.split(b"\0", 1)
            self.events.append(json.loads(line))
            if wanted(self.events[-1]):
                return self.events[-1]

    def open(self, url, width=1280, scheme="light", media=""):
        self.events.clear()
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)
        self.call("Page.navigate", url=url)
        self.wait(lambda event: event.get("method") == "Page.loadEventFired")

    def ask(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def said(self, method):
        return [event["params"] for event in self.events if event.get("method") == method]

    def complaints(self):
        """Errors of the console, and requests for anything that is not in the page."""
        urls = [event["request"]["url"] for event in self.said("Network.requestWillBeSent")]
        wrong = [url for url in urls if not url.startswith(("file:", "data:"))]
        wrong += [event["entry"] for event in self.said("Log.entryAdded")]
        wrong += self.said("Runtime.consoleAPICalled") + self.said("Runtime.exceptionThrown")
        assert urls, "not even the page was asked for"
        return wrong


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.process.kill()
    browser.process.wait()


@pytest.fixture
def page(arms_report):
    return (arms_report / "index.html").as_uri()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_asked_of_anyone_and_nothing_complains(browser, page, width, scheme):
    browser.open(page, width, scheme)
    assert browser.complaints() == []
    assert browser.ask("[...document.images].every(image => image.naturalWidth > 0)")
    assert browser.ask("document.images.length") >= 5


def test_a_page_that_phones_home_is_caught(browser, page, tmp_path):
    """Without its policy, and with an image from elsewhere and a script that complains."""
    bad = re.sub("<meta http-equiv=[^>]*>", "", Path(page.removeprefix("file://")).read_text())
    extra = '<img src="http://example.org/x.png"><script>console.error("no")</script></body>'
    (tmp_path / "bad.html").write_text(bad.replace("</body>", extra))
    browser.open((tmp_path / "bad.html").as_uri())
    assert "http://example.org/x.png" in browser.complaints()
    assert len(browser.complaints()) >= 3


def test_the_policy_lets_nothing_in(browser, page, tmp_path):
    text = Path(page.removeprefix("file://")).read_text()
    extra = '<script>document.title = "ran"</script><img src="http://example.org/x.png"></body>'
    (tmp_path / "page.html").write_text(text.replace("</body>", extra))
    browser.open((tmp_path / "page.html").as_uri())
    assert browser.ask("document.title") == "arms: report"
    assert len(browser.said("Log.entryAdded")) == 2


def test_a_phone_scrolls_tables_not_the_page(browser, page):
    browser.open(page, 390)
    browser.ask("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert browser.ask(OVERFLOW) <= 0
    inner = browser.ask(
        "(() => { const box = document.querySelector('#table-full').parentElement;"
        " box.scrollLeft = 300; const cell = box.querySelector('tbody tr:nth-child(2) th');"
        " return [box.scrollLeft, cell.getBoundingClientRect().left - "
        "box.getBoundingClientRect().left] })()"
    )
    assert inner == [300, 0]  # the table has moved, its first column has not
    browser.ask("document.querySelector('.scroll').classList.remove('scroll')")
    assert browser.ask(OVERFLOW) > 0


def test_dark_mode_is_dark_and_figures_stay_on_white(browser, page):
    colour = "getComputedStyle(document.{}).backgroundColor"
    browser.open(page, scheme="dark")
    assert browser.ask(colour.format("body")) == "rgb(21, 24, 27)"
    assert browser.ask(colour.format("querySelector('figure img')")) == "rgb(255, 255, 255)"
    browser.open(page, scheme="dark", media="print")
    assert browser.ask(colour.format("body")) == "rgb(255, 255, 255)"


def test_a_figure_opens_over_the_whole_window_and_closes(browser, page):
    browser.open(page, 390)
    width = "document.querySelector('#zoom-forest img').getBoundingClientRect().width"
    small = browser.ask(width)
    browser.ask("document.querySelector('#zoom-forest .open').click()")
    assert browser.ask(width) > 2 * small
    assert browser.ask(OVERFLOW) <= 0
    browser.ask("document.querySelector('#zoom-forest .close').click()")
    assert browser.ask(width) == small


def test_links_lead_to_files_that_are_there(browser, page, arms_report):
    browser.open(page)
    links = browser.ask("[...document.querySelectorAll('a[href]')].map(a => a.href)")
    outside = [link for link in links if not link.startswith(f"{page}#")]
    paths = {Path(link.removeprefix("file://")) for link in outside}
    assert len(paths & set(arms_report.parent.glob("runs/*"))) == 8
    assert {path for path in paths if not path.exists()} == set()
    anchors = {link.split("#")[1] for link in links if link.startswith(f"{page}#")}
    assert browser.ask(
        f"{json.dumps(sorted(anchors))}.every(name => document.getElementById(name))"
    )


def test_it_prints_on_pages_of_a4_without_cutting(browser, page):
    browser.open(page, width=688, media="print")  # 182 mm between the margins
    assert browser.ask(OVERFLOW) <= 0
    printed = browser.call("Page.printToPDF", preferCSSPageSize=True)["data"]
    assert len(printed) > 10_000
