"""The page in a browser, without a screen, from disk: Chromium as the system has it; nothing is
downloaded. Skipped where there is none (Debian: apt-get install chromium chromium-driver)."""

import csv
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from faflow.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="needs chromium and chromedriver on the PATH (Debian: chromium, chromium-driver)",
)
POLL = 0.01  # seconds
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    flags = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
    for flag in (*flags, "--window-size=1280,900"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {
        "download.default_directory": str(tmp_path_factory.mktemp("downloads")),
    })  # fmt: skip
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(run_folder: Path, sweep_folder: Path, other_folder: Path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    write_report([str(run_folder)], folder / "run.html")
    write_report([str(sweep_folder)], folder / "sweep.html")
    write_report([str(run_folder), str(other_folder)], folder / "two.html")
    return folder


@pytest.fixture
def visit(browser: webdriver.Chrome, pages: Path) -> Iterator[Callable[[str], webdriver.Chrome]]:
    """Opens a page; afterwards, nothing has gone wrong and nothing else was asked for."""
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    seen = []

    def act(name: str) -> webdriver.Chrome:
        seen.append((pages / name).resolve().as_uri())
        browser.get(seen[-1])
        browser.execute_script(
            "document.getElementById('figures').scrollIntoView();"
            "document.getElementById('choose').open = true"
        )
        wait(browser, "return document.querySelectorAll('.main-svg').length > 0")
        return browser

    yield act
    assert browser.get_log("browser") == []
    assert requested(browser) == seen
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0


def requested(browser: webdriver.Chrome) -> list[str]:
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    urls = [params["request"]["url"] for params in asked]
    return [url for url in urls if not url.startswith("blob:")]  # the download buttons' own


def wait(browser: webdriver.Chrome, script: str, *arguments) -> Any:
    return WebDriverWait(browser, 30, POLL).until(
        lambda driver: driver.execute_script(script, *arguments)
    )


READ = """const place = `[data-key='${arguments[0]}'] .reading [data-value]`;
    const told = [...document.querySelectorAll(place)].map(({ dataset }) => ({ ...dataset }));"""
Readings = dict[tuple[str, str, str], float]


def readings(browser: webdriver.Chrome, key: str) -> Readings:
    """What is read below a figure, by law, layer and seed."""
    return numbers(browser.execute_script(f"{READ} return told", key))


def numbers(told: list[dict]) -> Readings:
    return {(d["law"], d["layer"], d["seed"]): float(d["value"]) for d in told if d["value"]}


def visible(browser: webdriver.Chrome, key: str) -> list[dict]:
    """`meta` of the traces that plotly draws in a figure."""
    script = """return document.querySelector(`[data-key='${arguments[0]}'] .plot`)._fullData
        .filter((trace) => trace.visible === true).map((trace) => trace.meta)"""
    return browser.execute_script(script, key)


def unfold(browser: webdriver.Chrome, key: str) -> None:
    """Opens what a figure is folded in, from the outside, by keyboard."""
    script = """const found = [];
        let place = document.querySelector(`[data-key='${arguments[0]}']`);
        while ((place = place.parentElement?.closest('details:not([open])')))
            found.unshift(place.firstElementChild); return found"""
    for summary in browser.execute_script(script, key):
        summary.send_keys(Keys.ENTER)
    wait(browser, f"return document.querySelector(`[data-key='{key}'] .main-svg`)")


def tick(browser: webdriver.Chrome, kind: str, value: str) -> None:
    """By keyboard, as all of the page can be used."""
    box = browser.find_element(By.CSS_SELECTOR, f"[data-choice='{kind}'][value='{value}']")
    box.send_keys(Keys.SPACE)


def test_scrubbing_reads_the_drift_of_the_summary(visit, run_folder: Path) -> None:
    browser = visit("run.html")
    law = json.loads((run_folder / "summary.json").read_text())["laws"]["layer-balance"]
    cell = browser.find_element(
        By.CSS_SELECTOR, "[data-law='layer-balance'][data-layer='2'] [data-what='relative_drift']"
    )
    assert float(cell.get_attribute("data-value")) == law["relative_drift"][1]
    slider = browser.find_element(By.ID, "time")
    slider.send_keys(Keys.HOME)
    moment, worst = browser.execute_script("return document.getElementById('now').textContent"), {}
    moved = f"""{READ} const now = document.getElementById('now').textContent;
        const slider = document.getElementById('time');
        return now !== arguments[1] || slider.value === slider.max ? [now, told] : null"""
    for _ in range(41):
        slider.send_keys(Keys.ARROW_RIGHT)
        moment, told = wait(browser, moved, "drift", moment)
        for what, value in numbers(told).items():
            worst[what] = max(worst.get(what, 0.0), value)
    found = [worst["layer-balance", str(layer), ""] for layer in law["layers"]]
    assert found == pytest.approx(law["relative_drift"], rel=1e-12)
    line = "return document.querySelector('[data-key=drift] .plot')._fullLayout.shapes[0].x0"
    wait(browser, f"{line} === 2")


def test_a_flow_that_has_ended_is_read_where_it_ended(visit) -> None:
    browser = visit("run.html")
    unfold(browser, "loss")
    last = browser.execute_script("""
        const { traces } = figures.find(({ frame }) => frame.dataset.key === 'loss');
        traces[0].y.fill(null, 21); read(); return [traces[0].y[20], traces[0].x[20]]""")
    (item,) = browser.find_elements(By.CSS_SELECTOR, "[data-key='loss'] .reading li")
    assert item.text.endswith("(until t = 1)") and last[1] == 1.0
    assert float(item.get_property("dataset")["value"]) == last[0]


def test_layers_laws_and_log_axes_are_toggled(visit) -> None:
    browser = visit("run.html")
    assert {meta["layer"] for meta in visible(browser, "drift")} == {"1", "2"}
    tick(browser, "layer", "1")
    assert {meta["layer"] for meta in visible(browser, "drift")} == {"2"}
    assert {layer for _, layer, _ in readings(browser, "drift")} == {"2"}
    raster = browser.find_element(By.CSS_SELECTOR, "[data-key='raster-1']")
    assert not raster.is_displayed()
    tick(browser, "layer", "1")
    assert raster.is_displayed()
    kind = "return document.querySelector('[data-key=drift] .plot')._fullLayout.{}axis.type"
    assert browser.execute_script(kind.format("y")) == "log"
    browser.find_element(By.CSS_SELECTOR, "[data-key='drift'] [data-log]").send_keys(Keys.SPACE)
    assert browser.execute_script(kind.format("y")) == "linear"
    browser.find_element(By.ID, "log-time").send_keys(Keys.SPACE)
    assert browser.execute_script(kind.format("x")) == "log"
    assert browser.find_elements(By.CSS_SELECTOR, "[data-title*='loud']") == []  # no upload button


def test_zooming_one_figure_zooms_the_others(visit) -> None:
    browser = visit("run.html")
    unfold(browser, "loss")
    browser.execute_script(
        "Plotly.relayout(document.querySelector('[data-key=drift] .plot'), {'xaxis.range': [1, 2]})"
    )
    loss = "return document.querySelector('[data-key=loss] .plot')._fullLayout.xaxis.range"
    wait(browser, f"{loss}.join() === '1,2'")


def test_page_of_64_seeds_is_small(pages: Path) -> None:
    assert (pages / "sweep.html").stat().st_size < 10e6


def test_seeds_are_toggled(visit) -> None:
    browser = visit("sweep.html")
    unfold(browser, "loss")
    assert {meta["seed"] for meta in visible(browser, "loss")} == {"median"}
    tick(browser, "seed", "17")
    assert {meta["seed"] for meta in visible(browser, "loss")} == {"median", "17"}
    assert {seed for *_, seed in readings(browser, "loss")} == {"median", "17"}
    browser.find_element(By.CSS_SELECTOR, "[data-none='seed']").send_keys(Keys.ENTER)
    assert not browser.find_element(By.CSS_SELECTOR, "[data-key='loss']").is_displayed()
    browser.find_element(By.CSS_SELECTOR, "[data-all='seed']").send_keys(Keys.ENTER)
    wait(browser, "return document.querySelector('[data-key=loss] .plot')._fullData"
         ".filter((trace) => trace.visible === true).length === 132")  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_and_dark(visit, browser, scheme: str) -> None:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    try:
        browser = visit("run.html")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
        fill = """return ['body', '.plot .xtick text'].map((place) => {
            const style = getComputedStyle(document.querySelector(place));
            const colour = place === 'body' ? style.backgroundColor : style.fill;
            return Math.max(...colour.match(/\\d+/g).map(Number)); })"""
        ground, words = browser.execute_script(fill)
        assert (ground > 200, words > 200) == (
            (True, False) if scheme == "light" else (False, True)
        )
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_download_holds_the_data(visit, run_folder: Path, tmp_path: Path) -> None:
    browser = visit("run.html")
    where = {"behavior": "allow", "downloadPath": str(tmp_path)}
    browser.execute_cdp_cmd("Page.setDownloadBehavior", where)
    browser.find_element(By.ID, "download").send_keys(Keys.ENTER)
    target = tmp_path / "faflow-report.zip"
    WebDriverWait(browser, 30, POLL).until(lambda _: target.exists() and zipfile.is_zipfile(target))
    with zipfile.ZipFile(target) as archive:
        stored = archive.read("1-reported/result.nc")
    assert stored == (run_folder / "result.nc").read_bytes()


def test_tiles_are_the_summary(visit, run_folder: Path, sweep_folder: Path) -> None:
    for name, folder in (("run.html", run_folder), ("sweep.html", sweep_folder)):
        summary, browser = json.loads((folder / "summary.json").read_text()), visit(name)
        told = {
            place.get_attribute("data-path"): float(place.get_attribute("value"))
            for place in browser.find_elements(By.CSS_SELECTOR, "#tiles [data-path]")
        }
        if name == "sweep.html":
            assert told["members"] == summary["members"] == 128
            continue
        assert set(told) >= {"loss.final", "t_final"} and len(told) == 4
        for path, value in told.items():
            found = summary
            for key in path.split("."):
                found = found[int(key)] if isinstance(found, list) else found[key]
            assert value == found, path
        (law,) = [path for path in told if path.startswith("laws.")]
        drifts = [drift for one in summary["laws"].values() for drift in one["relative_drift"]]
        assert told[law] == max(drifts)
        heard = browser.find_element(By.CSS_SELECTOR, "[data-tile='laws'].kept strong").text
        assert heard == f"kept to {max(drifts):.2g}"


def test_time_is_played_and_stopped(visit) -> None:
    browser = visit("run.html")
    slider, play = (browser.find_element(By.ID, name) for name in ("time", "play"))
    place = "return Number(document.getElementById('time').value)"
    last = browser.execute_script(place)
    play.send_keys(Keys.ENTER)  # at the end: from the start
    assert play.get_attribute("aria-pressed") == "true"
    wait(browser, f"{place} > 2")
    play.send_keys(Keys.ENTER)
    stopped = browser.execute_script(place)
    assert stopped < last and play.get_attribute("aria-pressed") == "false"
    browser.execute_async_script("setTimeout(arguments[0], 300)")
    assert browser.execute_script(place) == stopped
    slider.send_keys(Keys.END)
    wait(browser, f"{place} === {last}")


def test_the_rest_is_folded_and_drawn_when_opened(visit) -> None:
    browser = visit("run.html")
    drawn = "return document.querySelectorAll('[data-key=norms] .main-svg, "
    drawn += "[data-key=singular] .main-svg').length"
    assert browser.execute_script(drawn) == 0
    unfold(browser, "singular")
    assert browser.execute_script(drawn) > 0
    unfold(browser, "phase")
    chosen = browser.find_element(By.ID, "phase-y")
    points = "const { traces } = figures.find(({ key }) => key === 'phase'); "
    points += "const { x, y } = traces[0]; return [x, y]"
    before = browser.execute_script(points)
    chosen.send_keys(Keys.END)
    wait(browser, "const { traces } = figures.find(({ key }) => key === 'phase');"
         "return traces[0].y[0] !== arguments[0]", before[1][0])  # fmt: skip
    losses = browser.execute_script("return figures.find(({ key }) => key === 'loss').traces[0].y")
    assert set(browser.execute_script(points)[0]) <= set(losses)  # at times that both have
    titles = browser.execute_script("return [...document.querySelectorAll('.question h2')]"
                                    ".map(({ textContent }) => textContent)")  # fmt: skip
    assert titles == ["Is the law kept?", "Does it converge, how fast, where to?",
                      "What did kinks do?", "What did it cost?"]  # fmt: skip


def test_results_are_compared_first(visit, run_folder: Path, other_folder: Path) -> None:
    browser = visit("two.html")
    places = browser.execute_script("return ['beside', 'run', 'law'].map((id) => "
        "document.getElementById(id).getBoundingClientRect().top)")  # fmt: skip
    assert places == sorted(places)
    rows = browser.find_elements(By.CSS_SELECTOR, "#beside > .scroll tbody tr")
    names = [row.find_element(By.CSS_SELECTOR, "[data-what='result']").text for row in rows]
    assert names == ["feedback-alignment", "gradient"]
    for row, folder in zip(rows, (run_folder, other_folder), strict=True):
        summary = json.loads((folder / "summary.json").read_text())
        loss = row.find_element(By.CSS_SELECTOR, "[data-what='loss']")
        assert float(loss.get_attribute("data-value")) == summary["loss"]["final"]
    colours = [row.find_element(By.CSS_SELECTOR, ".dot").value_of_css_property("background-color")
               for row in rows]  # fmt: skip
    assert len(set(colours)) == 2
    lines = [row.text for row in browser.find_elements(
        By.CSS_SELECTOR, "[data-key='residual'] .reading tbody th, "
        "[data-key='drift'] .reading tbody th")]  # fmt: skip
    assert set(lines) == {"feedback-alignment", "gradient"}


def test_values_are_of_all_cases(visit, pages: Path, seven_folders: list[Path]) -> None:
    write_report([str(folder) for folder in seven_folders], pages / "seven.html")
    browser = visit("seven.html")
    assert {meta["case"] for meta in visible(browser, "drift")} == {f"seed {i}" for i in range(6)}
    rows = browser.find_elements(By.CSS_SELECTOR, "[data-key='drift'] .reading tbody tr")
    last = rows[-1]
    assert len(rows) == 7 and "off" in last.get_attribute("class")
    assert last.find_element(By.CSS_SELECTOR, "[data-value]").get_attribute("data-value") != ""
    tick(browser, "case", "seed 6")
    off = browser.find_elements(By.CSS_SELECTOR, "[data-key='drift'] .reading tr.off")
    assert off == [] and "seed 6" in {meta["case"] for meta in visible(browser, "drift")}


def test_a_figure_is_saved(visit, tmp_path: Path) -> None:
    browser = visit("run.html")
    where = {"behavior": "allow", "downloadPath": str(tmp_path)}
    browser.execute_cdp_cmd("Page.setDownloadBehavior", where)
    for kind in ("csv", "svg"):
        browser.find_element(By.CSS_SELECTOR, f"[data-key='drift'] [data-save='{kind}']").send_keys(
            Keys.ENTER
        )
        WebDriverWait(browser, 30, POLL).until(lambda _, k=kind: (tmp_path / f"drift.{k}").exists())
    with (tmp_path / "drift.csv").open() as file:
        head, *rows = list(csv.reader(file))
    assert head == ["curve", "case", "law", "layer", "seed", "time", "|Q(t) − Q(0)| / scale"]
    drawn = browser.execute_script("""
        const { traces } = figures.find(({ key }) => key === 'drift');
        return traces.flatMap(({ x, y, meta }) => x.map((t, i) => [meta.law, meta.layer, t, y[i]]))
    """)
    assert [[r[2], r[3], float(r[5]), float(r[6])] for r in rows] == drawn and len(rows) > 200
    assert "</svg>" in (tmp_path / "drift.svg").read_text("utf-8")
