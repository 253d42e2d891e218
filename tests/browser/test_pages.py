"""The report and the leaderboard in a real browser (Chromium, headless): ``make test-report``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

import aud_dnn
from aud_dnn import leaderboard
from aud_dnn.analyze.report.page import write_report
from aud_dnn.paths import ProjectPaths
from aud_dnn.tables.surface import VERTEX_FILE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scored(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("browser") / "demo"
    shutil.copytree(demo_root, root)
    for model in ("mymodel", "DCASE2020"):
        aud_dnn.score_model(model, root=root, progress=False)
    assert leaderboard.main(["--root", str(root)]) == 0
    return root


@pytest.fixture(scope="module")
def with_brain(scored: Path) -> Path:
    """A report with nilearn's viewer: the vertices of a patch of fsaverage lie on the flat map."""
    pytest.importorskip("nilearn")
    pytest.importorskip("plotly", reason="could not import 'nilearn' with Plotly")
    paths = ProjectPaths(scored)
    table = aud_dnn.load_target("NH2015", root=scored).metadata
    content = {}
    for hemi, own in table.groupby("hemi"):
        content[f"vras_{hemi}"] = own[["x_ras", "y_ras"]].to_numpy(dtype=float)
        content[f"vnums_{hemi}"] = np.arange(len(own))
    paths.surface.mkdir(parents=True, exist_ok=True)
    savemat(paths.surface / VERTEX_FILE, content)
    page, _, _ = write_report(paths, "DCASE2020", ["NH2015", "B2021", "NH2015comp"], "again")
    return page.rename(page.with_name("with_brain.html"))


@pytest.fixture(scope="module")
def browser() -> Iterator:
    webdriver = pytest.importorskip("selenium.webdriver")
    driver = shutil.which("chromedriver")
    if driver is None:
        pytest.skip("Chromium's driver is not installed (Debian: chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-unsafe-swiftshader",  # WebGL without a graphics card, for the brain
        "--window-size=1200,2000",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield chrome
    chrome.quit()


def opened(browser, path: Path) -> None:
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # of earlier pages
    browser.get(path.as_uri())


def requests_of(browser) -> list[str]:
    """Addresses that the page asked for, but for itself and data inside of it."""
    import json

    asked = []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked.append(message["params"]["request"]["url"])
    return [url for url in asked if not url.startswith(("data:", "blob:", "about:"))][1:]


def rows_of(browser, table: str) -> list[list[str]]:
    return browser.execute_script(
        "return [...document.getElementById(arguments[0]).tBodies[0].rows].filter(r => !r.hidden)"
        ".map(r => [...r.cells].map(c => c.textContent))",
        table,
    )


def test_the_report_draws_without_a_request_or_an_error(scored, browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    opened(browser, scored / "results" / "DCASE2020" / "report.html")
    charts = browser.find_elements(By.CLASS_NAME, "chart")
    WebDriverWait(browser, 20).until(
        lambda _: all(chart.find_elements(By.CSS_SELECTOR, "svg") for chart in charts)
    )
    assert len(charts) == 3 * 4 + 3  # bars, layers, place, responses; categories, and two maps
    assert requests_of(browser) == []
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    link = "return document.querySelector('a[data-chart=NH2015-cortex]').href"
    assert browser.execute_script(link).startswith(
        "data:text/csv;charset=utf-8,x%2Cy%2Chemi%2Cscore"
    )
    marks = "return document.querySelectorAll('.chart svg path').length"
    assert browser.execute_script(marks) > 100


def test_the_brain_turns_without_a_request_or_an_error(with_brain, browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select, WebDriverWait

    assert with_brain.stat().st_size < 5e6
    opened(browser, with_brain)
    [frame] = browser.find_elements(By.TAG_NAME, "iframe")
    browser.execute_script("arguments[0].scrollIntoView()", frame)
    browser.switch_to.frame(frame)
    try:
        WebDriverWait(browser, 20).until(lambda _: browser.find_elements(By.TAG_NAME, "canvas"))
        eye = "return document.getElementById('surface-plot').layout.scene.camera.eye.x"
        assert browser.execute_script(eye) < 0
        Select(browser.find_element(By.ID, "select-view")).select_by_value("right")
        WebDriverWait(browser, 20).until(lambda _: browser.execute_script(eye) > 0)
        shown = "return document.getElementById('surface-plot').data[0].vertexcolor.length"
        assert browser.execute_script(shown) == 2 * 10_242
    finally:
        browser.switch_to.default_content()
    assert requests_of(browser) == []
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_tables_of_the_report_sort_and_filter(scored, browser):
    from selenium.webdriver.common.by import By

    opened(browser, scored / "results" / "mymodel" / "report.html")
    browser.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
    table = browser.find_element(By.ID, "NH2015comp-table")
    heading = table.find_elements(By.CSS_SELECTOR, "th button")[3]
    for down in (True, False):
        heading.click()
        values = [float(row[3]) for row in rows_of(browser, "NH2015comp-table") if row[3] != "nan"]
        assert values == sorted(values, reverse=down) and len(values) > 20
    field = browser.find_element(By.CSS_SELECTOR, "input[data-filter=NH2015comp-table]")
    field.send_keys("wav2")
    assert {row[0] for row in rows_of(browser, "NH2015comp-table")} == {"Wav2Vec2"}


def test_the_leaderboard_sorts_filters_and_links_the_reports(scored, browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select, WebDriverWait

    opened(browser, scored / "results" / "leaderboard.html")
    rows = rows_of(browser, "board")
    assert len(rows) == 20 + 1 and [float(row[4]) for row in rows] == sorted(
        (float(row[4]) for row in rows), reverse=True
    )
    Select(browser.find_element(By.ID, "part")).select_by_value("NH2015comp|speech")
    architecture = Select(browser.find_element(By.CSS_SELECTOR, "[data-facet=architecture]"))
    architecture.select_by_visible_text("transformer")
    assert {row[1] for row in rows_of(browser, "board")} == {
        "AST",
        "S2T",
        "SepFormer",
        "Wav2Vec2",
    }
    architecture.select_by_index(0)
    browser.find_element(By.ID, "name").send_keys("mymo")
    [row] = rows_of(browser, "board")
    assert row[1] == "mymodel" and row[8] == "here"
    Select(browser.find_element(By.ID, "part")).select_by_value("B2021|Lateral")
    assert [row[1] for row in rows_of(browser, "board")] == ["mymodel"]
    browser.find_element(By.LINK_TEXT, "mymodel").click()
    WebDriverWait(browser, 10).until(lambda _: browser.title == "mymodel and the auditory cortex")
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_pages_fit_a_phone(scored, browser):
    size = browser.get_window_size()
    browser.set_window_size(420, 900)
    try:
        for page in ("mymodel/report.html", "leaderboard.html"):
            opened(browser, scored / "results" / page)
            wide = browser.execute_script(
                "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert wide <= 0, page
    finally:
        browser.set_window_size(size["width"], size["height"])
