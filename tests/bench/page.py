"""The page in a real browser beside a real hub: its weight, how fast it shows a fleet, and its charts beside uPlot's.

Everything is timed inside the page by clocks.js and charts.js, to the frame that shows it, on software rendering.
Refreshes replay two real answers in which every figure differs, so that no wait for the hub is in them.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from playwright.sync_api import Browser, Page, sync_playwright

from hub import Reader, taken
from smon_hub.assets import Assets
from tests.support.browser import FLAGS
from tests.support.client import Client
from tests.support.needs import CHROMIUM
from tests.support.processes import GIB, LIVE, METRICS, HubProcess

HERE = Path(__file__).resolve().parent
WINDOW = {"width": 1280, "height": 900}
OVERVIEW = "/api/dashboard?view=cards"
SENDERS = 8          # connections that fill the hub
LOADS = 3            # fresh browsers behind a first view, for each of the runs
REFRESHES = 7        # in each of them
TYPED = "server-01"  # into the search, and out again
TICKS = 3            # of the live view
UPLOT = "uplot@1.6.32"
POINTS = (8_640, 100_000)
RATIOS = (1, 2)      # device pixels to a CSS pixel
SAMPLES = 9          # of each drawing
REDRAWS = 20         # in each sample of them
MOVES, HOVERS = 80, 5
CHART_FILES = ("canvas.js", "line.js", "scale.js")


class Plan(NamedTuple):
    """What the command line asked for."""

    fleets: Tuple[int, ...]
    runs: int
    folder: Path


class View(NamedTuple):
    """What one way to show a fleet takes, in milliseconds, each as often as it was measured; and its elements."""

    data: List[float]
    navigation: List[float]
    script: List[float]
    paint: List[float]
    key: List[float]
    nodes: List[float]


VIEW_TARGETS = (150, 600, 5, 50, 50, 3000)
GROWTH = 1.2  # what a fleet above 1,000 servers may take of the target's time


def measure(plan: Plan) -> None:
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        raise SystemExit("Chromium is not installed: the page is measured in it.")
    with sync_playwright() as playwright, Fleet(plan.folder / "data") as fleet:
        browser = playwright.chromium.launch(executable_path=path, chromium_sandbox=False, args=list(FLAGS))
        print("Chromium %s without a GPU, %d processors, load average %.1f; medians, and the best in brackets.\n" % (
            browser.version, os.cpu_count() or 1, os.getloadavg()[0]))
        views(plan, browser, fleet)
        print("\nchart modules as they are served, gzipped: %.1f KB (aim 5)" % (chart_bytes() / 1024))
        charts(browser, fleet, plan.folder)
        browser.close()
        print("\nLoad average at the end: %.1f" % os.getloadavg()[0])


# --- a hub with many servers ------------------------------------------------------------------------------------------

class Fleet:
    """A real hub with as many servers as were asked for so far."""

    def __init__(self, folder: Path):
        self.hub = HubProcess(folder)
        self.agents: List[Dict[str, str]] = []  # headers of each
        self._here = threading.local()
        taken(self.hub.patch("/api/dashboard/settings", {"rate_limit_per_minute": 1_000_000}))

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.hub.stop()

    def grow(self, number: int) -> None:
        self.agents += self._all(self._register, range(len(self.agents), number))

    def report(self, turn: int) -> str:
        """Every server sends a sample, all its figures others than in the turn before; the overview after that."""
        self._all(lambda number: self._send("/api/metrics", sample(number, turn), number), range(len(self.agents)))
        return self.hub.get(OVERVIEW).text

    def tick(self) -> None:
        """The first server sends one near-live sample."""
        self._send("/api/metrics/live", dict(LIVE, collected_at=None), 0)

    def _all(self, work: Callable[[int], Any], numbers: Sequence[int]) -> List[Any]:
        with ThreadPoolExecutor(SENDERS) as pool:
            return list(pool.map(work, numbers))

    def _register(self, number: int) -> Dict[str, str]:
        known = taken(self._caller().post("/api/register", {
            "hostname": "server-%04d" % number, "ip_address": "192.0.2.%d" % (number % 250), "os_info": "Debian 12",
            "group_name": "Group %02d" % (number % 20)}))
        return {"id": known["server_id"], "Authorization": "Bearer %s:%s" % (known["server_id"], known["api_key"])}

    def _send(self, path: str, body: Dict[str, Any], number: int) -> None:
        agent = self.agents[number]
        taken(self._caller().post(path, body, {"Authorization": agent["Authorization"]}))

    def _caller(self) -> Client:
        if not hasattr(self._here, "client"):
            self._here.client = self.hub.client()
        return self._here.client


def sample(number: int, turn: int) -> Dict[str, Any]:
    """One server's figures; each fiftieth has a disk that is full, and is critical."""
    share = (number * 7 + turn * 13) % 80
    disks = [{"device": "/dev/sd" + name, "mountpoint": "/" + name, "fstype": "ext4", "total": 100 * GIB,
              "used": share * GIB, "free": (100 - share) * GIB, "percent": share + 0.5} for name in ("", "srv", "var")]
    if number % 50 == 49:
        disks[0]["percent"] = 96.0 + turn % 2
    return {"collected_at": None, "processes": [], "services": [], "metrics": dict(
        METRICS, cpu_percent=share + 1.5, memory_percent=share + 2.5, uptime_seconds=86400 + turn * 7200, disks=disks)}


# --- weight and views -------------------------------------------------------------------------------------------------

def views(plan: Plan, browser: Browser, fleet: Fleet) -> None:
    """Both ways to show each fleet, and what is carried over the wire for it."""
    weights = []
    found: Dict[Tuple[str, int], View] = {}
    line("view, servers", "first, data ms", "first, nav ms", "refresh JS ms", "refresh ms", "key ms", "elements")
    line("  target", *VIEW_TARGETS)
    line("  target above 1,000", *("%.0f" % (target * GROWTH) for target in VIEW_TARGETS[:-1]), VIEW_TARGETS[-1])
    for servers in plan.fleets:
        fleet.grow(servers)
        answers = [fleet.report(turn) for turn in (1, 2)]
        weights.append((servers, weight(browser, fleet)))
        for name in ("grid", "list"):
            found[name, servers] = view(browser, fleet, name, answers, plan.runs * LOADS)
            line("%s, %d" % (name, servers), *("%.1f (%.1f)" % (statistics.median(each), min(each))
                                               for each in found[name, servers]))
    for name in ("grid", "list"):
        if {(name, 1000), (name, 5000)} <= set(found):
            line("%s, 5000 / 1000" % name, *("%.2f (%.2f)" % (
                statistics.median(large) / statistics.median(small), min(large) / min(small))
                for large, small in zip(found[name, 5000], found[name, 1000])))
    print()
    line("weight", "first KB", "requests", "reload KB", "bytes/server", "live tick B")
    line("  target", "60 (8 servers)", 14, 5, 70, 1024)
    for servers, (first, requests, again, each, tick) in weights:
        line(str(servers), "%.1f" % (first / 1024), requests, "%.1f" % (again / 1024), "%.0f" % each, "%.0f" % tick)


def view(browser: Browser, fleet: Fleet, name: str, answers: List[str], loads: int) -> View:
    """Over so many fresh browsers."""
    firsts, refreshes, keys, nodes = [], [], [], []
    for _ in range(loads):
        page = fresh(browser, fleet, "/?view=" + name)
        page.wait_for_function("() => bench.first")
        firsts.append(page.evaluate("() => bench.first"))
        nodes.append(page.evaluate("() => document.querySelectorAll('*').length"))
        refreshes += replay(page, answers)
        keys += typed(page)
        page.context.close()
    return View([each["data"] for each in firsts], [each["navigation"] for each in firsts],
                [each["script"] for each in refreshes], [each["paint"] for each in refreshes], keys, nodes)


def replay(page: Page, answers: List[str]) -> List[Dict[str, float]]:
    """Refresh the overview; each answer differs from the one before in every figure."""
    turns = iter(answers * REFRESHES)
    page.route("**" + OVERVIEW, lambda route: route.fulfill(body=next(turns), content_type="application/json"))
    for _ in range(REFRESHES):
        page.evaluate("() => bench.next(() => document.getElementById('refresh').click())")
    return page.evaluate("() => bench.refreshes.splice(0)")


def typed(page: Page) -> List[float]:
    """From each stroke in the search to the frame that shows what is left."""
    page.get_by_role("searchbox").focus()
    for key in list(TYPED) + ["Backspace"] * len(TYPED):
        page.evaluate("() => { bench.shown = bench.next(() => {}); }")
        page.keyboard.press(key)
        page.evaluate("() => bench.shown")
    return page.evaluate("() => bench.keys.splice(0)")


def weight(browser: Browser, fleet: Fleet) -> Tuple[int, int, int, float, float]:
    """Bytes and requests of a first load, bytes of the second, of a server in the overview, of a tick of live."""
    page = fresh(browser, fleet)
    traffic = Traffic(page)
    loads = []
    for load in (lambda: page.goto("/"), page.reload):
        load()
        page.wait_for_selector(".card, tbody tr:not(.spacer)")
        page.wait_for_load_state("networkidle")
        loads.append(traffic.take())
    reader = Reader(fleet.hub.port)
    _, size = reader.get(OVERVIEW)
    reader.close()
    tick = statistics.median(live(page, fleet, traffic))
    page.context.close()
    return sum(loads[0]), len(loads[0]), sum(loads[1]), size / len(fleet.agents), tick


def live(page: Page, fleet: Fleet, traffic: "Traffic") -> List[int]:
    """Bytes of questions for near-live samples, each answered with one."""
    fleet.tick()
    asks = "**/live?*since=*"
    with page.expect_response(asks):
        page.goto("/servers/%s/live?r=2" % fleet.agents[0]["id"])
    found = []
    for _ in range(TICKS):
        fleet.tick()
        traffic.take()
        with page.expect_response(asks) as answer:
            pass
        answer.value.finished()
        found.append(sum(traffic.take()))
    return found


class Traffic:
    """Bytes of each answer that came since the last look, heads included."""

    def __init__(self, page: Page):
        self._sizes: List[int] = []
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.loadingFinished", lambda event: self._sizes.append(event["encodedDataLength"]))

    def take(self) -> List[int]:
        taken_now, self._sizes[:] = list(self._sizes), []
        return taken_now


def fresh(browser: Browser, fleet: Fleet, path: str = "", ratio: int = 1, scripts: Sequence[str] = ()) -> Page:
    """A page of a browser without history; with a path it is opened."""
    context = browser.new_context(base_url=fleet.hub.url, viewport=WINDOW, device_scale_factor=ratio)
    for script in ((HERE / "clocks.js").read_text(encoding="utf-8"), *scripts):
        context.add_init_script(script)
    page = context.new_page()
    if path:
        page.goto(path)
    return page


# --- charts -----------------------------------------------------------------------------------------------------------

def charts(browser: Browser, fleet: Fleet, folder: Path) -> None:
    """Ours and uPlot's by turns in one browser, each first draw in a fresh page."""
    uplot, why = fetched(folder)
    names = ("ours", "uplot") if uplot else ("ours",)
    print("\n72 h of two lines, CPU ms of the page's main thread with raster: ours / uPlot, and their ratio")
    if why:
        print("No uPlot: %s." % why)
    line("points, DPR", "first draw", "", "redraw", "", "hover, a move", "")
    line("  target", "", "0.80", "", "0.70", "", "1.00")
    for points in POINTS:
        for ratio in RATIOS:
            def opened() -> Page:
                scripts = [*uplot, (HERE / "charts.js").read_text(encoding="utf-8")]
                page = fresh(browser, fleet, "/login", ratio, scripts)
                page.evaluate("points => bench.charts(document.querySelector('script[src]').src.replace("
                              "/.early\\.js$/, ''), points)", points)
                return page
            line("%d, %d" % (points, ratio), *(cell for found in compared(opened, names) for cell in beside(found)))


def compared(opened: Callable[[], Page], names: Sequence[str]) -> List[Dict[str, List[float]]]:
    """Samples of a first draw, of a redraw and of a move of the mouse, for each of the names."""
    firsts: Dict[str, List[float]] = {name: [] for name in names}
    redraws: Dict[str, List[float]] = {name: [] for name in names}
    moves: Dict[str, List[float]] = {name: [] for name in names}
    for _ in range(SAMPLES):
        for name in names:
            page = opened()
            firsts[name].append(busy(page, lambda: page.evaluate("name => bench.make(name)", name)))
            page.context.close()
    page = opened()
    for name in names:
        page.evaluate("name => bench.make(name)", name)
    for _ in range(SAMPLES):
        for name in names:
            redraws[name].append(busy(page, lambda: page.evaluate(
                "([name, times]) => bench.redraw(name, times)", [name, REDRAWS])) / REDRAWS)
    for _ in range(HOVERS):
        for name in names:
            moves[name].append(hovered(page, name))
    page.context.close()
    return [firsts, redraws, moves]


def hovered(page: Page, name: str) -> float:
    """Milliseconds for each move of the mouse across a chart."""
    box = page.locator("[data-name=%s] :is(.chart-plot, .u-over)" % name).bounding_box()
    assert box, "%s drew no chart" % name
    page.mouse.move(box["x"] + 80, box["y"] + 100)
    return busy(page, lambda: page.mouse.move(
        box["x"] + box["width"] - 80, box["y"] + 150, steps=MOVES)) / MOVES


def busy(page: Page, action: Callable[[], Any]) -> float:
    """CPU milliseconds of the page's main thread: script, layout and the raster of canvases.

    The kernel's count, because the browser's own leaves out what it does to a canvas after a task.
    """
    browser = page.context.browser
    assert browser
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    pages = [each["id"] for each in processes if each["type"] == "renderer"]  # of all of them only this one works
    before = sum(map(thread_ns, pages))
    action()
    return (sum(map(thread_ns, pages)) - before) / 1e6


def thread_ns(pid: int) -> int:
    return int(Path("/proc/%d/schedstat" % pid).read_text().split()[0])


def beside(found: Dict[str, List[float]]) -> Tuple[str, str]:
    """Both medians and their ratio."""
    medians = {name: statistics.median(values) for name, values in found.items()}
    if "uplot" not in medians:
        return "%.2f" % medians["ours"], "-"
    return "%.2f / %.2f" % (medians["ours"], medians["uplot"]), "%.2f" % (medians["ours"] / medians["uplot"])


def fetched(folder: Path) -> Tuple[List[str], str]:
    """The scripts that bring uPlot into a page, from npm; none, and the reason, where it can not be had."""
    npm = shutil.which("npm")
    if not npm:
        return [], "npm is not installed"
    run = subprocess.run([npm, "pack", "--silent", UPLOT], cwd=str(folder), stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, timeout=60)
    archive: Optional[Path] = next(folder.glob("uplot-*.tgz"), None)
    if run.returncode or archive is None:
        return [], "npm pack %s failed" % UPLOT
    with tarfile.open(str(archive)) as files:
        def text(name: str) -> str:
            return files.extractfile("package/dist/" + name).read().decode("utf-8")  # type: ignore[union-attr]
        code, style = text("uPlot.iife.min.js"), text("uPlot.min.css")
    return [code + ";globalThis.uPlot = uPlot;", "globalThis.uPlotStyle = `%s`;" % style], ""


def chart_bytes() -> int:
    served = Assets().static
    return sum(len(served["charts/" + name].gzipped) for name in CHART_FILES)


def line(first: str, *cells: Any) -> None:
    print("%-24s" % first + "".join("%16s" % cell for cell in cells), flush=True)
