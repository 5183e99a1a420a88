"""The playground in headless Chromium, driven by Selenium: what the page computes is what Python computes."""
import json
import shutil

import numpy as np
import pytest

import minnet as mn
from minnet.play import playground

webdriver = pytest.importorskip("selenium.webdriver", reason="Selenium is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no Chromium with its chromedriver here")

ROWS, NEAR = 100, 1e-4


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def data():
    return mn.load_data("digits", rng=0)


@pytest.fixture(scope="module")
def nets(data):
    """(dense, pruned) of each kind of net, with values of its own for every parameter."""
    layers = (mn.Conv2d(4, 3, padding="same"), mn.BatchNorm(), mn.LeakyReLU(0.1), mn.MaxPool2d(2),
              mn.Conv2d(6, 2, stride=2), mn.PReLU(True), mn.AvgPool2d(2, 1, padding="same"), mn.ELU(), mn.Flatten(),
              mn.Dense(12), mn.Tanh(), mn.Dropout(0.1), mn.Dense(10))
    found = {"dense": mn.models.mlp(data.shape, data.n_classes, (40, 20), rng=0),
             "conv": mn.Model(mn.Sequential(*layers), data.shape, rng=0)}
    for model in found.values():
        model.signature = data.signature
        model.values[model.n_weights:] = np.random.default_rng(0).uniform(0.1, 1, len(model.values) - model.n_weights)
    return {name: (model, pruned(model)) for name, model in found.items()}


def pruned(model):
    small = model.clone()
    mn.prune(small, 0.7)
    return mn.compact(small)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """(model, page, pruned) of numbers learnt from a table with a category; the pruned net takes two inputs alone."""
    folder, rng = tmp_path_factory.mktemp("table"), np.random.default_rng(0)
    rows = [f"{rng.integers(18, 80)},{colour},{rng.normal(3000, 900):.1f},{rng.normal():.3f}"
            for colour in rng.choice(["blue", "green", "red"], 60)]
    (folder / "t.csv").write_text("\n".join(["age,colour,income <b>,price", *rows]))
    data = mn.load_data(folder / "t.csv", target="price", task="regression", rng=0)
    model = mn.models.mlp(data.shape, 1, (6,), rng=0)
    model.signature = data.signature
    small = model.clone()
    mn.prune(small, keep=2, structure="input")
    small = mn.compact(small, inputs=True)
    page = folder / "t.html"
    page.write_text(playground(model, small, data, criteria=["magnitude", "random"]), encoding="utf-8")
    return model, small, page


@pytest.fixture(scope="module")
def pages(nets, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    for name, (dense, small) in nets.items():
        page = playground(dense, small, data, criteria=["magnitude", "gradient", "taylor"], title=name)
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    return folder


def opened(browser, path, width=1440, dark=False):
    """Open a page in a window of this width, with empty logs."""
    for log in ("browser", "performance"):
        browser.get_log(log)
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    theme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": theme})
    browser.get(path.as_uri())
    return browser


def requests(browser):
    """The addresses that were asked for."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return {event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"}


def text(browser, name):
    return browser.execute_script("return document.getElementById(arguments[0]).textContent", name)


def drawn(browser):
    """Wait until what has changed is drawn: the frame that was asked for, and the one behind it."""
    browser.execute_async_script("const done = arguments[0]; "
                                 "requestAnimationFrame(() => requestAnimationFrame(() => done()))")


def press(browser, name, *keys):
    """Give an element the focus, and press keys; return the text of the close-up after the next frame."""
    from selenium.webdriver.common.by import By

    browser.find_element(By.ID, name).send_keys(*keys)
    drawn(browser)
    return text(browser, "what")


@pytest.mark.parametrize("name", ["dense", "conv"])
def test_probabilities_are_those_of_python(browser, pages, nets, data, name):
    opened(browser, pages / f"{name}.html")
    dense, small = nets[name]
    X, stop = data.X_test[:ROWS], 21
    masked = dense.clone()
    mn.prune(masked, 0.9, criterion="taylor", data=data, rng=0)
    browser.execute_script("playground.setCriterion(2); playground.setStop(arguments[0])", stop)
    drawn(browser)
    for net, model in (("dense", dense), ("now", masked), ("pruned", small)):
        found = browser.execute_script("return arguments[1].map((row) => playground.probabilities(arguments[0], row))",
                                       net, X.reshape(ROWS, -1).tolist())
        assert np.abs(np.array(found) - model.predict_proba(X)).max() < NEAR
    assert [entry["message"] for entry in browser.get_log("browser")] == []


def test_nothing_is_asked_for_and_nothing_overflows(browser, pages):
    for width, dark in ((360, True), (1440, False), (1440, True)):
        opened(browser, pages / "dense.html", width, dark)
        drawn(browser)
        assert browser.execute_script("return innerWidth") == width
        assert browser.execute_script("const e = document.documentElement; return e.scrollWidth <= e.clientWidth")
        assert requests(browser) <= {(pages / "dense.html").as_uri(), "data:,"}
        assert [entry["message"] for entry in browser.get_log("browser")] == []
        back = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (back == "rgb(255, 255, 255)") is not dark


def test_everything_works_by_keyboard(browser, pages, nets, data):
    from selenium.webdriver.common.keys import Keys

    dense = nets["dense"][0]
    opened(browser, pages / "dense.html")
    press(browser, "stop", Keys.END)
    assert text(browser, "removed").startswith("99 % removed")
    press(browser, "stop", Keys.HOME)
    assert text(browser, "removed").startswith("0 % removed")
    press(browser, "criterion0", Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert text(browser, "about") == "Score each weight by the change of the loss when it becomes 0, to first order."
    words = press(browser, "units", Keys.ESCAPE, Keys.ARROW_DOWN)
    assert words.startswith("dense1, unit 0; 64 of 64 weights in; 20 of 20 out")
    assert press(browser, "units", Keys.ARROW_RIGHT, Keys.ARROW_DOWN).startswith("dense2, unit 1;")
    life = press(browser, "units", Keys.ENTER)
    strongest = int(np.abs(dense.parameters["dense2.weight"].value[:, 1]).argmax())
    assert life.startswith(f"dense1, unit {strongest} → dense2, unit 1: value ") and "kept" in life
    result = mn.prune(dense.clone(), 0.9, criterion="taylor", data=data, rng=0)
    explained = result.explain("dense2.weight", (strongest, 1))
    assert f"number {explained.rank:,} of {dense.n_weights:,} by taylor" in life
    assert press(browser, "units", Keys.ESCAPE).startswith("dense2, unit 1;")
    press(browser, "pad", Keys.DELETE)
    seen = browser.execute_script("return Array.from(playground.state.row)")
    assert not any(seen)
    press(browser, "pad", Keys.SPACE, *[Keys.ARROW_RIGHT] * 2, Keys.SPACE)
    assert sum(browser.execute_script("return Array.from(playground.state.row)")) > 16
    assert [entry["message"] for entry in browser.get_log("browser")] == []


def test_columns_of_a_table_have_controls(browser, table):
    from selenium.webdriver.common.keys import Keys

    model, small, page = table
    opened(browser, page, 360)
    press(browser, "column0", Keys.HOME)
    press(browser, "column1", "red")
    press(browser, "column2", Keys.END)
    assert [text(browser, "columns").count(name) for name in ("age", "colour", "income <b>")] == [1, 1, 1]
    browser.execute_script("playground.setStop(0)")
    drawn(browser)
    low, high = browser.execute_script("return ['column0', 'column2'].map((id) => +document.getElementById(id).value)")
    for net, found in (("dense", model), ("now", model), ("pruned", small)):
        told = browser.execute_script("return playground.probabilities(arguments[0], playground.state.row)", net)
        assert np.allclose(told, found.predict(np.array([[low, "red", high]], dtype=object)), atol=NEAR)
    assert text(browser, "measured").startswith("Measured on 12 rows") and "R²" in text(browser, "scores")
    assert [entry["message"] for entry in browser.get_log("browser")] == []


def test_the_wire_tells_what_explain_tells(browser, pages, nets, data):
    dense = nets["dense"][0]
    opened(browser, pages / "dense.html")
    found = browser.execute_script("""
        const rows = [];
        for (let i = 0; i < playground.facts.weights; i += 97) rows.push(playground.judged.map((c) => c.place[i]));
        return rows""")
    for k, name in enumerate(["magnitude", "gradient", "taylor"]):
        scores = mn.prune(dense.clone(), 0.5, criterion=name, data=data, rng=0)
        for row, weight in enumerate(range(0, dense.weight_parameters[0].size, 97 * 5)):
            assert found[row * 5][k] + 1 == scores.explain("dense1.weight", weight).rank
