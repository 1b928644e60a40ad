import pytest
from chromium import executable, open_page, url_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(executable() is None, reason="there is no Chromium on the path"),
    pytest.mark.filterwarnings("ignore:Domain .* latent dimensions are dead"),
]


@pytest.fixture(scope="module")
def report(four_domains):
    return url_of(four_domains / "report.html")


def test_the_report_opens_without_an_error_and_every_image_loads(chromium, report):
    opened = open_page(chromium, report)
    assert opened.errors == []
    assert opened.page.evaluate("document.images.length") > 40
    assert opened.broken_images() == []
    assert "failed:" not in opened.page.inner_text("main")
    titles = opened.page.locator("h2").all_inner_texts()
    assert titles[:3] == ["Data", "Translations", "Figures"]
    assert {
        "Map of the workspace",
        "Selection",
        "Learning curves",
        "Noise, and missing domains",
    } <= set(titles)


def test_a_missing_image_or_a_script_error_would_be_noticed(chromium, tmp_path):
    broken = tmp_path / "broken.html"
    broken.write_text("<img src='data:image/png;base64,AAAA' alt=x><script>nothing()</script>")
    opened = open_page(chromium, url_of(broken))
    assert opened.broken_images() == ["x"]
    assert any("nothing is not defined" in error for error in opened.errors)
    outside = tmp_path / "outside.html"
    outside.write_text("<img src='http://example.invalid/a.png' alt=y>")
    assert any(
        e.startswith("left: http://example") for e in open_page(chromium, url_of(outside)).errors
    )


def test_the_sounds_play(chromium, report):
    page = open_page(chromium, report).page
    assert page.locator("audio").count() > 10
    played = page.evaluate(
        """async () => {
            const player = document.querySelector("audio");
            player.muted = true;
            await player.play();
            await new Promise(done => setTimeout(done, 300));
            return [player.currentTime, player.duration, player.error && player.error.message];
        }"""
    )
    assert played[0] > 0 and played[1] > 0.1 and played[2] is None


def test_the_theme_follows_the_system_and_the_button(chromium, report):
    def ground(page):
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light, dark = (open_page(chromium, report, dark=choice).page for choice in (False, True))
    white, black = ground(light), ground(dark)
    assert white == "rgb(255, 255, 255)" and black != white
    button = light.get_by_role("button", name="Switch between light and dark")
    assert button.inner_text() == "Dark"
    button.click()
    assert ground(light) == black and button.inner_text() == "Light"
    button.click()
    assert ground(light) == white


def test_the_map_is_coloured_by_what_the_reader_chooses(chromium, report):
    opened = open_page(chromium, report)
    page = opened.page
    box = page.locator(".colouring").first
    select = box.get_by_label("Coloured by")
    options = select.locator("option").all_inner_texts()
    assert options[0] == "domain" and {"attributes: shape", "attributes: x"} <= set(options)

    def fills():
        return page.evaluate(
            "() => [...document.querySelectorAll('#map-0-points-0 use')]"
            ".map(p => getComputedStyle(p).fill)"
        )

    before = fills()
    assert len(before) > 20 and len(set(before)) == 1
    select.select_option("attributes: x")
    assert len(set(fills())) > 10
    select.select_option("attributes: shape")
    assert 2 <= len(set(fills())) <= 3
    assert len(box.locator(".legend span").all_inner_texts()) == 3
    assert "egg" in box.locator(".legend").inner_text()
    select.select_option("domain")
    assert fills() == before
    assert opened.errors == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("classes", [8, 9, 40])
def test_every_class_has_a_colour_of_its_own(chromium, tmp_path, classes, dark):
    import numpy as np

    from globalworkspace.report.plots import scatter
    from globalworkspace.sheet import Colouring, Figure, Section, write_page

    svg, groups = scatter("map", {"a": np.random.default_rng(0).normal(size=(classes, 2))})
    numbers = Colouring(values=[list(range(classes))], names=[f"n{k}" for k in range(classes)])
    figure = Figure(svg=svg, alt="points", groups=groups, colourings={"class": numbers})
    write_page(tmp_path / "page.html", "Classes", [Section(title="Map", parts=[figure])])
    opened = open_page(chromium, url_of(tmp_path / "page.html"), dark=dark)
    opened.page.get_by_label("Coloured by").select_option("class")
    fills = opened.page.evaluate(
        "() => [...document.querySelectorAll('#map-points-0 use')]"
        ".map(p => getComputedStyle(p).fill)"
    )
    assert len(set(fills)) == classes
    assert opened.page.locator(".legend span").count() == classes
    assert opened.errors == []


def test_a_phone_scrolls_tables_not_the_page(chromium, report):
    page = open_page(chromium, report, width=360, height=740).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("h1").evaluate("e => parseFloat(getComputedStyle(e).fontSize)") >= 20


def test_the_keyboard_reaches_what_a_mouse_does(chromium, report):
    page = open_page(chromium, report).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details").first.evaluate("e => e.open")


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_serious_fault(chromium, report, dark):
    opened = open_page(chromium, report, dark=dark)
    opened.page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true; })")
    assert opened.faults() == []


def test_axe_would_find_one(chromium, tmp_path):
    file = tmp_path / "poor.html"
    file.write_text(
        "<html><body><img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='></body></html>"
    )
    assert any(
        fault.startswith("image-alt") for fault in open_page(chromium, url_of(file)).faults()
    )


def test_the_demos_report_opens_without_an_error(chromium, tmp_path, monkeypatch):
    from globalworkspace_shapes import judge
    from globalworkspace_shapes.demo import DemoConfig, run_demo

    monkeypatch.setattr(judge, "PROBE_PICTURES", 1000)
    run_demo(tmp_path, DemoConfig(items=300, pairs=60, test_items=60, steps=60, progress=False))
    opened = open_page(chromium, url_of(tmp_path / "report.html"))
    assert opened.errors == [] and opened.broken_images() == [] and opened.faults() == []
    titles = opened.page.locator("h2").all_inner_texts()
    assert titles[-1] == "All rows against the matched rows alone" and "Learning curves" in titles
    figures = opened.page.locator("section", has_text="Median rank").first
    assert "recall@10" in figures.inner_text()
