"""The page in a real browser: what it shows, what people can do with it, and outages."""

import re
from pathlib import Path

import pytest
from conftest import serious_findings
from harness import NEVER, free_port, new_lab, wait_for
from harness.holder import Holder
from harness.lab import DRIVERS
from hostile import ATTACKS, PARTS

HERE = Path(__file__).resolve().parent
CONFIGURATION = """\
python: {executable: "$python", path: ["$drivers", "$here"]}
daemons:
  bench: {host: localhost, classname: LockableDaemon}
  other: {host: localhost}
services:
  lab.typed: {module: typed, classname: Typed, daemon: bench, instancemode: single, members: {volts: {minimum: 0, unit: V, poll: 0.2, alarm: {above: 20}}}}
  lab.supply: {native: simulated.power_supply, description: Bench supply, daemon: bench, tags: [optics, room-2]}
  lab.hostile:
    module: hostile
    classname: Hostile
    daemon: bench
    instancemode: single
    description: "<img src=x onerror='window.attacked = 1'>"
  lab.broken: {module: there_is_none, classname: Broken, daemon: other, instancemode: single}
  lab.meter: {native: simulated.multimeter, daemon: other, tags: [optics], members: {measure_voltage: {poll: 0.5, unit: V}, measure_current: {poll: 0.5, unit: A}}}
autolaunch: {daemons: [bench, other]}
web: {port: 0, supervision: {hang_timeout: 0}}
history: true
"""
# Compressed, of everything that the first view loads.
MOST_BYTES = 150 * 1024


@pytest.fixture(scope="module")
def lab():
    with new_lab() as lab:
        lab.config(CONFIGURATION, here=str(HERE), drivers=str(DRIVERS))
        lab.run("up", check=False)
        lab.link = lab.wait_for_status("processes", "web", "running")["uri"]
        yield lab


@pytest.fixture
def page(tab, lab):
    """The lab's view, once it is live."""
    return opened(tab, lab.link)


def opened(tab, link):
    tab.goto(link)
    tab.wait_for_selector(".connection.good")
    tab.wait_for_selector("article")
    return tab


def at(page, service):
    """The view of an instrument, once its card is there."""
    page.get_by_role("link", name=service, exact=True).click()
    page.wait_for_selector("h1 >> text=" + service)
    page.wait_for_selector(".member")
    return page


def member(page, name):
    return page.locator(".member", has=page.locator(".title code", has_text=re.compile(f"^{name}$")))


def field(form, argument):
    return form.locator(f"[id$=' {argument}']")


def test_every_instrument_with_its_state(page):
    texts = lambda of: page.locator("article h3 " + of).all_inner_texts()
    states = lambda: dict(zip(texts("a"), texts(".chip"), strict=True))
    wanted = {
        "lab.typed": "running", "lab.supply": "running", "lab.hostile": "running",
        "lab.broken": "failed", "lab.meter": "running",
    }  # fmt: skip
    wait_for(lambda: states() == wanted, NEVER, "the states", ValueError)
    assert "there_is_none" in page.locator("article", has_text="lab.broken").inner_text()
    assert "Bench supply" in page.locator("article", has_text="lab.supply").inner_text()
    rows = page.locator(".scrolls[aria-label='Processes']").inner_text()
    assert "bench" in rows and "web" in rows


def test_search_and_filter_and_keyboard(page):
    page.keyboard.press("/")
    page.keyboard.type("BENCH supply")
    assert page.locator("article h3 a").all_inner_texts() == ["lab.supply"]
    page.get_by_role("searchbox").fill("")
    page.get_by_label("Show").select_option("trouble")
    assert page.locator("article h3 a").all_inner_texts() == ["lab.broken"]
    page.get_by_label("Show").select_option("all")
    page.locator("body").press("Tab")
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_tags_are_searched_filtered_and_grouped(page):
    def shows(*names):
        shown = lambda: sorted(page.locator("article h3 a").all_inner_texts()) == sorted(names)
        wait_for(shown, NEVER, f"the page shows {names}")

    page.get_by_role("searchbox").fill("room-2")
    shows("lab.supply")
    page.get_by_role("searchbox").fill("")
    page.get_by_role("combobox", name="Tag").select_option("optics")
    shows("lab.meter", "lab.supply")
    page.get_by_role("combobox", name="Tag").select_option("")
    page.locator("article", has_text="lab.supply").get_by_role("button", name="Filter by tag room-2").click()
    shows("lab.supply")
    page.get_by_role("combobox", name="Tag").select_option("")
    page.get_by_label("Group").select_option("tag")
    page.locator("section[aria-label='without a tag']").wait_for()
    groups = {group.get_attribute("aria-label"): group for group in page.locator("main > section").all()}
    assert {"optics", "room-2", "without a tag"} <= set(groups)
    assert sorted(groups["optics"].locator("h3 a").all_inner_texts()) == ["lab.meter", "lab.supply"]
    at(page, "lab.meter")
    assert page.locator(".tags").inner_text() == "optics"


def test_a_call_shows_its_result_and_a_refusal_its_words(page):
    at(page, "lab.typed")
    form = member(page, "typed")
    field(form, "number").fill("2.5")
    field(form, "count").fill("3")
    form.get_by_role("button", name="Call").click()
    form.locator("output", has_text="(2.5, 3, (1, 2.0), None, None, b'', None)").wait_for()
    field(form, "count").fill("many")
    form.get_by_role("button", name="Call").click()
    form.locator("[role=alert]", has_text="count: A whole number is expected, not “many”.").wait_for()
    assert field(form, "count").input_value() == "many", "what was entered stays"
    form = member(page, "fail")
    field(form, "text").fill("no such luck")
    form.get_by_role("button", name="Call").click()
    form.locator("[role=alert]", has_text="ValueError: no such luck").wait_for()
    form.get_by_text("Traceback of the driver").click()
    form.locator("pre", has_text="typed.py").wait_for()


def test_a_property_is_read_and_set_within_its_limits(page, lab):
    at(page, "lab.typed")
    line = member(page, "volts")
    line.get_by_label("New value of volts").fill("12.5")
    line.get_by_role("button", name="Set").click()
    line.get_by_text("set", exact=True).wait_for()
    with lab.proxy("lab.typed") as proxy:
        assert proxy.volts == 12.5
    line.get_by_role("button", name="Read").click()
    line.locator("output", has_text="12.5 V").wait_for()
    for entered, words in (("-1", "Must be at least 0 V, not -1."), ("31", "31.0 V is more than the supply has")):
        line.get_by_label("New value of volts").fill(entered)
        line.get_by_role("button", name="Set").click()
        line.locator("[role=alert]", has_text=words).wait_for()
        assert line.get_by_label("New value of volts").input_value() == entered


def test_values_are_live_and_drawn_and_exported(page, lab):
    series = page.locator("article", has_text="lab.typed").locator(".values > div", has_text="volts")
    for volts in (7.25, 3.5):
        with lab.proxy("lab.typed") as proxy:
            proxy.volts = volts
        series.get_by_text(str(volts), exact=True).wait_for()
    at(page, "lab.typed")
    figure = page.get_by_role("figure")
    figure.locator("canvas").wait_for()
    figure.get_by_role("button", name="1 h").click()
    with page.expect_download() as started:
        figure.get_by_role("link", name="CSV").click()
    assert b",7.25," in Path(started.value.path()).read_bytes()
    box = figure.locator(".u-over").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 20)
    page.mouse.up()
    figure.get_by_text(re.compile(r"\d to \d")).wait_for()


def test_a_plot_has_an_axis_for_each_unit_and_is_moved_in_time(page):
    at(page, "lab.meter")
    figure = page.get_by_role("figure")
    axes = lambda: figure.locator(".u-axis").count()
    wait_for(lambda: axes() == 3, NEVER, "axes of the time and of two units")
    page.get_by_label("measure_current", exact=True).uncheck()
    wait_for(lambda: axes() == 2, NEVER, "axes of the time and of one unit")
    ends = re.compile(r"\d to \d")
    assert figure.get_by_text(ends).count() == 0
    figure.get_by_role("button", name="Earlier").click()
    before = figure.get_by_text(ends).inner_text()
    figure.get_by_role("button", name="Later").click()
    wait_for(lambda: figure.get_by_text(ends).inner_text() != before, NEVER, "another time")
    figure.get_by_role("button", name="10 min").click()
    figure.get_by_text(ends).wait_for(state="detached")


def test_an_alarm_is_shown_and_acknowledged(page, lab):
    with lab.proxy("lab.typed") as proxy:
        proxy.volts = 25
        page.get_by_role("link", name="Alarms").click()
        row = page.get_by_role("row", name=re.compile("lab.typed"))
        row.get_by_text("firing").wait_for()
        wait_for(lambda: page.title().startswith("(1)"), NEVER, "the tab's title counts it")
        assert "25 V" in row.inner_text() and "above 20" in row.inner_text()
        row.get_by_role("button", name="Acknowledge").click()
        row.get_by_text("acknowledged").wait_for()
        proxy.volts = 1.5
    page.get_by_text("No alarm").wait_for()


def test_a_series_without_news_says_so(tab):
    with new_lab() as lab:
        lab.config(CONFIGURATION, here=str(HERE), drivers=str(DRIVERS))
        lab.run("up", check=False)
        page = opened(tab, lab.wait_for_status("processes", "web", "running")["uri"])
        series = page.locator("article", has_text="lab.typed").locator(".values > div", has_text="volts")
        series.locator(".number", has_text="1.5").wait_for()
        lab.run("stop", "daemon", "bench", "--force")
        series.locator(".quality", has_text="no data").wait_for()
        lab.run("start", "daemon", "bench")
        series.locator(".number", has_text="1.5").wait_for()


def test_a_lock_is_taken_handed_back_and_broken(page, lab):
    at(page, "lab.supply")
    page.get_by_role("button", name="Take the lock").click()
    page.get_by_text("by you").wait_for()
    with lab.proxy("lab.supply") as stranger, pytest.raises(ConnectionRefusedError, match="locked"):
        stranger.voltage = 1
    page.get_by_role("button", name="Hand it back").click()
    page.get_by_text("Nobody holds it.").wait_for()
    with Holder.having(lab.uri("lab.supply"), "ada"):
        page.get_by_text("by ada").wait_for()
        page.get_by_role("button", name="Break the lock …").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name="Break the lock").click()
        assert dialog.is_visible(), "a reason is required"
        dialog.get_by_label("Reason").fill("the laser is too hot")
        dialog.get_by_role("button", name="Break the lock").click()
        page.get_by_text("Nobody holds it.").wait_for()
    history = lambda: lab.run("locks", "lab.supply", "--history").stdout
    wait_for(lambda: "the laser is too hot" in history(), NEVER, "the line of the lock")


def test_a_running_call_is_seen_by_everybody(page, lab):
    gate = lab.files / "gate"
    at(page, "lab.typed")
    form = member(page, "wait")
    field(form, "gate").fill(str(gate))
    form.get_by_role("button", name="Call").click()
    page.get_by_role("link", name="Calls").click()
    page.locator(".scrolls[aria-label='Calls that run or wait']").get_by_text("wait", exact=True).wait_for()
    gate.touch()
    page.get_by_text("No call runs or waits.").wait_for()


def test_a_form_keeps_its_texts_while_its_instrument_is_away(tab):
    with new_lab() as lab:
        lab.config(CONFIGURATION, here=str(HERE), drivers=str(DRIVERS))
        lab.run("up", check=False)
        page = opened(tab, lab.wait_for_status("processes", "web", "running")["uri"])
        at(page, "lab.typed")
        form = member(page, "show")
        field(form, "value").fill("'kept'")
        lab.run("stop", "daemon", "bench", "--force")
        page.locator("h1 .chip", has_text="stopped").wait_for()
        form.get_by_role("button", name="Call").click()
        form.locator("[role=alert]").wait_for()
        assert field(form, "value").input_value() == "'kept'"
        lab.run("start", "daemon", "bench")
        page.locator("h1 .chip", has_text="running").wait_for()
        form.get_by_role("button", name="Call").click()
        form.locator("output").wait_for()
        assert field(form, "value").input_value() == "'kept'"


def test_the_log_and_the_calls_are_filtered(page, lab):
    lab.run("call", "lab.typed", "fail", "for the log", check=False)
    page.get_by_role("link", name="Log", exact=True).click()
    page.get_by_label("Service").select_option("lab.broken")
    sources = lambda: set(page.locator(".log .source").all_inner_texts())
    wait_for(lambda: sources() == {"lab.broken"}, NEVER, "lines of one service")
    page.get_by_label("Service").select_option("")
    page.get_by_label("At least").select_option("error")
    levels = lambda: set(page.locator(".log .level").all_inner_texts())
    wait_for(lambda: levels() == {"ERROR"}, NEVER, "errors alone")
    page.get_by_role("link", name="Calls", exact=True).click()
    logged = page.locator(".scrolls[aria-label='Calls in the call log']")
    logged.get_by_role("cell", name="fail", exact=True).first.wait_for()
    page.get_by_label("Service").select_option("lab.meter")
    logged.get_by_role("cell", name="fail", exact=True).first.wait_for(state="detached")


def test_a_form_has_its_arguments_in_order_and_a_log_its_last_line(page, lab):
    at(page, "lab.typed")
    labels = member(page, "typed").locator(".fields label").all_inner_texts()
    assert [label.split()[0] for label in labels] == ["number", "count", "pair", "names", "table", "data", "rest"]
    lab.run("restart", "process", "history")
    page.get_by_role("link", name="Log", exact=True).click()
    page.locator(".log li", has_text=re.compile("process started.*pid=")).first.wait_for()
    below = "list => list.scrollHeight - list.scrollTop - list.clientHeight"
    wait_for(lambda: page.locator(".log").evaluate(below) < 30, NEVER, "the log is at its end")


def test_a_view_begins_at_its_top_with_the_focus_and_the_lab_where_it_was_left(page):
    page.set_viewport_size({"width": 800, "height": 300})
    page.evaluate("scrollTo(0, 200)")
    page.get_by_role("link", name="lab.meter", exact=True).press("Enter")
    page.wait_for_selector(".member")
    wait_for(lambda: page.evaluate("scrollY") == 0, NEVER, "the top")
    wait_for(lambda: page.evaluate("document.activeElement.id") == "main", NEVER, "the focus")
    page.keyboard.press("Tab")
    assert page.evaluate("!!document.activeElement.closest('main')"), "the next stop is in the view"
    page.go_back()
    page.wait_for_selector("article")
    wait_for(lambda: page.evaluate("scrollY") >= 150, NEVER, "the lab where it was left")


def test_an_instrument_that_a_reload_removes_keeps_its_form(tab):
    with new_lab() as lab:
        settings = {"here": str(HERE), "drivers": str(DRIVERS)}
        lab.config(CONFIGURATION, **settings)
        lab.run("up", check=False)
        page = opened(tab, lab.wait_for_status("processes", "web", "running")["uri"])
        at(page, "lab.typed")
        form = member(page, "show")
        field(form, "value").fill("'kept'")
        without = "".join(line for line in CONFIGURATION.splitlines(True) if "lab.typed:" not in line)
        lab.config(without, **settings)
        lab.run("reload", check=False)
        page.locator("h1 .chip", has_text="removed").wait_for()
        form.get_by_role("button", name="Call").click()
        form.locator("[role=alert]", has_text="lab.typed").wait_for()
        assert field(form, "value").input_value() == "'kept'"
        lab.config(CONFIGURATION, **settings)
        lab.run("reload", check=False)
        page.locator("h1 .chip", has_text="running").wait_for()
        form.get_by_role("button", name="Call").click()
        form.locator("output", has_text="kept").wait_for()


def test_a_browser_whose_clock_is_wrong_shows_right_ages(chromium, lab):
    context = chromium.new_context()
    context.set_default_timeout(0)
    tab = context.new_page()
    tab.add_init_script("const right = Date.now; Date.now = () => right() - 7 * 3600 * 1000")
    opened(tab, lab.link)
    series = tab.locator("article", has_text="lab.typed").locator(".values > div", has_text="volts")
    series.locator(".age", has_text=re.compile(r"^(now|\d+ s ago)$")).wait_for()
    context.close()


def test_hostile_texts_are_texts(page, lab):
    at(page, "lab.hostile")
    for number, part in enumerate(PARTS):
        for name in ("give", "fail"):
            form = member(page, name)
            field(form, "number").fill(str(number))
            form.get_by_role("button", name="Call").click()
            form.locator("output, [role=alert]", has_text=part[1]).first.wait_for()
    line = member(page, "reading")
    line.get_by_role("button", name="Read").click()
    line.locator("output", has_text="<script>").wait_for()
    wait_for(lambda: "iframe" in lab.run("logs", "show", "--service", "lab.hostile").stdout, NEVER, "it is in the log")
    page.get_by_role("button", name="Read again").click()
    page.locator(".log", has_text="onerror").wait_for()
    with Holder.having(lab.uri("lab.hostile"), ATTACKS[1]):
        page.locator(".lock", has_text=ATTACKS[1]).wait_for()
        for view in ("Log", "Calls", "Locks", "Alarms", "Lab"):
            page.get_by_role("link", name=view, exact=True).click()
            page.wait_for_selector("h1")
        page.locator(".lock", has_text=ATTACKS[1]).wait_for()
    assert page.evaluate("window.attacked") is None
    assert page.locator("main img, main iframe, main script").count() == 0


def test_numbers_are_drawn_and_downloaded(page):
    at(page, "lab.typed")
    form = member(page, "give")
    for text, dimensions, picture in (
        ("[x / 7 for x in range(500)]", "500", ".uplot canvas"),
        ("[[x * y / 9 for x in range(64)] for y in range(48)]", "48 × 64", ".image canvas"),
    ):
        field(form, "text").fill(text)
        form.get_by_role("button", name="Call").click()
        form.locator("output", has_text=f"array of float64, {dimensions}").wait_for()
        form.locator(picture).wait_for()
        for link, head in ((".npy", b"\x93NUMPY"), (".png", b"\x89PNG")):
            with page.expect_download() as started:
                form.get_by_text(link, exact=True).click()
            assert Path(started.value.path()).read_bytes().startswith(head), link
        assert form.locator(picture).is_visible(), "a download calls nothing"


LONG = {
    "'x' * 30000": ("30000 characters in all", "All of it as .txt", b"x" * 30000),
    "['row %d' % n for n in range(50)]": ("… 50 items", "All of it as .json", b'"row 49"'),
    "[n + 0.25 for n in range(10)]": ("… 10 items", "All of it as .json", b"9.25"),
    "{'raw': bytes(300000), 'wave': [n / 7 for n in range(500)]}": ("300000", "raw .bin", bytes(300000)),
    "{'wave': [[n / 7 for n in range(500)]] * 2}": ("float64", "wave .npy", b"\x93NUMPY"),
    "b'\\x00\\xff'": ("2 bytes", ".bin", b"\x00\xff"),
}


def test_what_a_result_does_not_show_is_in_its_files(page):
    at(page, "lab.typed")
    form = member(page, "give")
    for expression, (words, link, content) in LONG.items():
        field(form, "text").fill(expression)
        form.get_by_role("button", name="Call").click()
        form.locator("output", has_text=words).wait_for()
        with page.expect_download() as started:
            form.locator(".files").get_by_text(link, exact=True).click()
        assert content in Path(started.value.path()).read_bytes(), expression
    field(form, "text").fill("0.1 + 0.2")
    form.get_by_role("button", name="Call").click()
    form.locator("output", has_text="0.30000000000000004").wait_for()
    assert form.locator(".files").count() == 0


def test_dark_and_light_and_the_width_of_a_phone(page):
    page.set_viewport_size({"width": 380, "height": 800})
    for view in ("#/", "#/service/lab.typed", "#/calls", "#/log"):
        page.goto(page.url.split("#")[0] + view)
        page.wait_for_selector("h1", state="attached")
        sideways = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert sideways <= 0, f"{view} is {sideways} px too wide"
    page.goto(page.url.split("#")[0] + "#/service/lab.typed")
    page.wait_for_selector(".member")
    top = lambda name: page.locator(f"section[aria-labelledby={name}]").bounding_box()["y"]
    assert top("values") < top("lock") < top("properties") < top("log"), "the lock is not below all members"
    colour = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(colour)
    page.get_by_role("button", name=re.compile("colours")).click()
    assert page.evaluate(colour) != before
    page.reload()
    page.wait_for_selector(".connection.good")
    assert page.evaluate(colour) != before, "the choice is kept"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_people_with_a_screen_reader_or_a_keyboard(page, theme):
    page.evaluate(f"localStorage.setItem('ferrolab-theme', '{theme}')")
    page.reload()
    page.wait_for_selector("article")
    found = []
    for view in ("#/", "#/service/lab.typed", "#/service/lab.supply", "#/calls", "#/locks", "#/alarms", "#/log"):
        page.goto(page.url.split("#")[0] + view)
        page.wait_for_selector("h1", state="attached")
        found += [(view, *finding) for finding in serious_findings(page)]
    assert found == []


def test_the_first_view_is_small(tab, lab):
    sizes = []

    def add(response):
        if "/api/stream" not in response.url:
            sizes.append((response.url, response.request.sizes()["responseBodySize"]))

    tab.on("requestfinished", lambda sent: add(sent.response()))
    opened(tab, lab.link)
    assert sum(size for _, size in sizes) <= MOST_BYTES, sizes
