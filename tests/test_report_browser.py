"""The listening report in a real browser, opened from disk."""

import math
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demixing.report import making, writing
from tests.small_runs import write_run

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
]

HOSTILE = "\"><img src=x onerror=window.hacked=1> '&amp; 🎵 \u202ertl"
BOUND_S = 60
"""A page that takes longer hangs."""
WIDTHS = (1280, 400)
VOTES = 23


class Page:
    """A page, and what it did that it should not.

    Attributes:
        browser: playwright's page.
        messages: on the console, and uncaught errors.
        requests: addresses of everything that is loaded, but for what is in the page.
    """

    def __init__(self, browser: Any) -> None:
        self.browser = browser
        self.messages: list[str] = []
        self.requests: list[str] = []
        browser.on("console", lambda message: self.messages.append(message.text))
        browser.on("pageerror", lambda error: self.messages.append(str(error)))
        browser.on("request", lambda request: self._note(request.url))

    def _note(self, url: str) -> None:
        if not url.startswith(("data:", "blob:")):
            self.requests.append(url)

    def value(self, script: str) -> Any:
        """Evaluate an expression."""
        return self.browser.evaluate(script)

    def wait(self, condition: str | Callable[[], bool]) -> None:
        """Wait; playwright's own waiting needs `eval`, which the page forbids."""
        end = time.monotonic() + BOUND_S
        while not (condition() if callable(condition) else self.value(condition)):
            assert time.monotonic() < end, f"{condition}, {self.messages}"
            self.browser.wait_for_timeout(50)

    def loaded(self) -> None:
        """Wait until the sound is decoded."""
        self.wait("player.loaded().length > 0")

    def audible(self) -> list[str]:
        return list(self.value("player.audible()"))

    def positions(self) -> dict[str, float]:
        return dict(self.value("player.positions()"))

    def press(self, key: str) -> None:
        self.browser.keyboard.press(key)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages of two recipes for music and one for film sound: all in one, and with files."""
    folder = tmp_path_factory.mktemp("pages 100% #1")
    songs = {HOSTILE: 4.3, "b": 2.5}
    given = [
        write_run(folder / "a", songs=songs, recipe="first"),
        write_run(folder / "b", songs=songs, recipe="<second>", error=0.6),
        write_run(folder / "c", track="cdx", songs={"clip": 2.0}, silent=["music"]),
    ]
    making.of_runs(given, folder / "all.html")
    making.of_runs(given[:1], folder / "apart.html", place=writing.BESIDE)
    return folder


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as library:
        browser = library.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium: Any) -> Iterator[Callable[..., Page]]:
    """Open a page; it must not have said anything at the end."""
    contexts = []
    pages = []

    def open_page(path: Path, width: int = 1280) -> Page:
        context = chromium.new_context(viewport={"width": width, "height": 900})
        contexts.append(context)
        page = Page(context.new_page())
        pages.append(page)
        page.browser.goto(path.as_uri())
        page.loaded()
        return page

    yield open_page
    messages = [message for page in pages for message in page.messages]
    for context in contexts:
        context.close()
    assert not messages


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_loads_nothing_else_and_fits(
    opened: Callable[..., Page], folder: Path, width: int
) -> None:
    page = opened(folder / "all.html", width)
    page.browser.wait_for_timeout(300)

    assert page.requests == [(folder / "all.html").as_uri()]
    assert page.value("document.documentElement.scrollWidth") <= width
    assert page.value(
        "document.querySelectorAll('#tracks .lane canvas, #tracks .lane > div').length"
    )
    assert page.value("[...document.images].every((one) => one.naturalWidth > 1)")


@pytest.mark.parametrize("width", WIDTHS)
def test_all_tracks_play_from_one_clock(
    opened: Callable[..., Page], folder: Path, width: int
) -> None:
    page = opened(folder / "all.html", width)

    page.browser.click("#play")
    page.wait("player.positions().mixture > 0.2")
    start = page.positions()["mixture"]
    page.wait(f"player.positions().mixture > {start} + 0.3")
    after = page.positions()

    assert list(after) == [
        "mixture",
        "reference",
        "estimate-0",
        "error-0",
        "estimate-1",
        "error-1",
    ]
    assert max(after.values()) - min(after.values()) < 0.02
    page.press("Space")
    assert not page.value("player.playing()")
    assert page.positions()["mixture"] >= after["mixture"]


def test_decoded_tracks_are_aligned_to_the_sample(
    opened: Callable[..., Page], folder: Path
) -> None:
    page = opened(folder / "all.html")

    reference, estimate, error = (
        np.array(page.value(f"player.samples({key!r}, 0, 48000)"))
        for key in ("reference", "estimate-0", "error-0")
    )

    def at(shift: int) -> float:
        return float(reference[100:-100] @ np.roll(estimate + error, shift)[100:-100])

    assert max(range(-100, 101), key=at) == 0
    rest = reference - estimate - error  # coding noise
    assert np.square(rest).sum() < 0.15 * np.square(reference).sum()


def test_solo_and_mute(opened: Callable[..., Page], folder: Path) -> None:
    page = opened(folder / "all.html")
    assert page.audible() == ["estimate-0"]

    page.browser.get_by_role("button", name="Solo Reference").click()
    assert page.audible() == ["reference"]
    page.press("4")
    assert page.audible() == ["error-0"]
    page.browser.get_by_role("button", name="Solo Mixture").click(modifiers=["Shift"])
    assert page.audible() == ["mixture", "error-0"]
    page.press("0")
    assert page.audible() == ["estimate-0"]  # the others are muted
    page.press("Shift+Digit2")
    assert page.audible() == ["reference", "estimate-0"]
    page.browser.get_by_role("button", name="Mute Reference").click()
    assert page.audible() == ["estimate-0"]
    pressed = page.browser.get_by_role("button", name="Mute Reference")
    assert pressed.get_attribute("aria-pressed") == "true"


def test_a_and_b_are_switched_while_playing(opened: Callable[..., Page], folder: Path) -> None:
    page = opened(folder / "all.html")
    page.press("Space")
    page.wait("player.positions().mixture > 0.1")

    page.press("b")
    assert page.audible() == ["estimate-1"]
    page.press("a")
    assert page.audible() == ["estimate-0"]
    page.browser.select_option("#second", "reference")
    page.browser.click("#to-second")
    assert page.audible() == ["reference"]
    assert page.value("player.playing()")


def test_a_worst_second_is_played(opened: Callable[..., Page], folder: Path) -> None:
    page = opened(folder / "all.html")
    button = page.browser.locator("#worst-list button").first
    name = button.inner_text()
    start = int(name.split()[1].rpartition(":")[2])

    button.click()

    system = "AB".index(name[0])
    page.wait(f"player.playing() && player.positions().mixture > {start} + 0.05")
    assert page.audible() == [f"error-{system}"]
    assert page.positions()["mixture"] < start + BOUND_S
    assert start != 1  # that one is silent


def test_silent_seconds_are_marked(opened: Callable[..., Page], folder: Path) -> None:
    page = opened(folder / "all.html")

    assert page.browser.locator("#seconds .silent").count() == 1
    assert page.browser.locator("#seconds .bar").count() == 2 * 5
    label = page.browser.locator("#seconds svg").get_attribute("aria-label")
    assert "first: from" in label
    assert "<second>: from" in label


def test_a_dragged_selection_is_repeated(opened: Callable[..., Page], folder: Path) -> None:
    page = opened(folder / "all.html")
    box = page.browser.locator("#tracks .lane").nth(1).bounding_box()
    y = box["y"] + 10

    page.browser.mouse.move(box["x"] + 0.5 * box["width"], y)
    page.browser.mouse.down()
    page.browser.mouse.move(box["x"] + 0.6 * box["width"], y, steps=4)
    page.browser.mouse.up()
    page.press("Space")
    page.wait("player.playing()")
    page.browser.wait_for_timeout(1200)

    start, end = page.value("[player.loop().start, player.loop().end]")
    assert start == pytest.approx(0.5 * 4.3, abs=0.05)
    assert end == pytest.approx(0.6 * 4.3, abs=0.05)
    assert all(start <= at <= end for at in page.positions().values())
    page.press("l")
    page.wait(f"player.positions().mixture > {end}")
    page.press("Escape")
    assert page.browser.locator("#selected").is_hidden()


def test_a_click_on_a_waveform_goes_there(opened: Callable[..., Page], folder: Path) -> None:
    page = opened(folder / "all.html")
    box = page.browser.locator("#seconds").bounding_box()

    page.browser.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 10)

    assert page.positions()["mixture"] == pytest.approx(0.25 * 4.3, abs=0.02)
    page.press("ArrowRight")
    assert page.positions()["mixture"] == pytest.approx(0.25 * 4.3 + 1, abs=0.02)
    page.press("Shift+ArrowLeft")
    assert page.positions()["mixture"] == 0


@pytest.mark.parametrize("pair", ["estimates", "reference"])
def test_a_blind_test_hides_which_is_which_and_counts(
    opened: Callable[..., Page], folder: Path, pair: str
) -> None:
    page = opened(folder / "all.html")
    if pair == "reference":
        page.browser.select_option("#second", "reference")
    page.browser.click("#blind-start")
    played = set()
    for _ in range(VOTES):
        page.press("x")
        played.add(page.audible()[0])
        assert len(page.audible()) == 1
        assert page.browser.locator("#tracks .head").first.get_attribute("inert") is not None
        page.press("3")  # would tell
        page.browser.click("#vote-x")
    page.browser.click("#reveal")

    said = page.browser.inner_text("#verdict")
    numbers = [int(word.strip(".:,")) for word in said.split() if word.strip(".:,").isdigit()]
    p = float(said.rstrip(".").rpartition(" ")[2])
    if pair == "reference":
        k, n = numbers
        expected = sum(math.comb(n, i) for i in range(k, n + 1)) / 2**n
    else:
        k, n, other = numbers
        assert k + other == n
        most = max(k, other)
        expected = min(2 * sum(math.comb(n, i) for i in range(most, n + 1)) / 2**n, 1)
    assert n == VOTES
    assert p == float(f"{expected:.1e}")  # two digits, as the page shows
    assert len(played) == 2  # the order changed; by chance it would not once in 4 million runs
    assert page.audible() == ["estimate-0"]


def test_the_table_is_sorted_by_click_and_by_keyboard(
    opened: Callable[..., Page], folder: Path
) -> None:
    page = opened(folder / "all.html")
    table = page.browser.locator(".scores").first

    def column(number: int) -> list[str]:
        return list(table.locator(f"tbody tr > :nth-child({number})").all_inner_texts())

    def scores() -> list[float]:
        return [float(text.replace("\N{MINUS SIGN}", "-")) for text in column(3)]

    table.get_by_role("button", name="mean").click()
    assert scores() == sorted(scores(), reverse=True)
    mean = table.locator("th", has_text="mean").first
    assert mean.get_attribute("aria-sort") == "descending"
    mean.get_by_role("button").focus()
    page.press("Enter")
    assert scores() == sorted(scores())
    assert mean.get_attribute("aria-sort") == "ascending"
    table.get_by_role("button", name="recipe").click()
    assert [text.split()[0] for text in column(2)] == ["A", "A", "B", "B"]
    assert mean.get_attribute("aria-sort") == "none"
    assert table.locator("tfoot tr").count() == 6


def test_a_score_opens_its_stem(opened: Callable[..., Page], folder: Path) -> None:
    page = opened(folder / "all.html")

    page.browser.get_by_role("button", name="listen to drums of b").nth(1).click()

    page.loaded()
    assert page.browser.locator("#song").input_value() == "1"
    assert page.browser.locator("#stems input:checked").input_value() == "1"
    assert page.audible() == ["estimate-1"]


def test_songs_and_stems_are_changed_by_keys_and_playing_goes_on(
    opened: Callable[..., Page], folder: Path
) -> None:
    page = opened(folder / "all.html")
    page.press("Space")
    page.wait("player.positions().mixture > 0.3")

    page.press("s")
    page.wait("player.playing()")
    assert page.positions()["mixture"] >= 0.3
    page.press("n")
    page.press("n")
    page.wait("player.loaded().includes('estimate-0') && !player.loaded().includes('estimate-1')")
    assert page.browser.locator("#song option:checked").inner_text() == "clip (cdx)"
    page.press("?")
    assert page.browser.locator("#help").is_visible()
    page.press("Escape")
    assert page.browser.locator("#help").is_hidden()


def test_names_of_songs_are_only_text(opened: Callable[..., Page], folder: Path) -> None:
    page = opened(folder / "all.html")

    assert page.value("window.hacked") is None
    assert page.browser.locator("#song option").first.inner_text().startswith('"><img src=x')
    assert "<second>" in page.browser.locator("header").inner_text()


def test_everything_has_an_accessible_name(opened: Callable[..., Page], folder: Path) -> None:
    page = opened(folder / "all.html")

    nameless = page.value(
        """[...document.querySelectorAll("button, input, select, img, [role=img], table, svg")]
        .filter((one) => !one.closest("[aria-hidden=true]"))
        .filter((one) => !(one.getAttribute("aria-label") || one.alt || one.textContent.trim()
          || (one.labels && one.labels.length)))
        .map((one) => one.outerHTML)"""
    )

    assert nameless == []


def test_files_beside_the_page_are_loaded_when_they_are_needed(
    opened: Callable[..., Page], folder: Path
) -> None:
    page = opened(folder / "apart.html")

    def names() -> list[str]:
        return [url.rpartition("/")[2] for url in page.requests]

    assert names() == ["apart.html", "0-mixture.js", "0-0.js"]
    page.press("s")
    page.wait(lambda: "0-1.js" in names())
    page.loaded()
    page.press("n")
    page.wait(lambda: names()[-2:] == ["1-mixture.js", "1-1.js"])
    page.loaded()
    page.press("p")
    page.wait(lambda: names().count("0-mixture.js") == 2)  # it was released
    assert all(url.startswith("file:") for url in page.requests)


def test_files_of_another_page_are_refused(chromium: Any, folder: Path, tmp_path: Path) -> None:
    text = (folder / "apart.html").read_text(encoding="utf-8")
    shutil.copytree(folder / "apart_files", tmp_path / "apart_files")
    (tmp_path / "apart_files" / "0-1.js").unlink()
    script = (tmp_path / "apart_files" / "0-2.js").read_text()
    (tmp_path / "apart_files" / "0-2.js").write_text(
        script.replace('listening.add("', 'listening.add("x')
    )
    (tmp_path / "apart.html").write_text(text, encoding="utf-8")
    context = chromium.new_context()
    page = Page(context.new_page())
    page.browser.goto((tmp_path / "apart.html").as_uri())
    page.loaded()

    page.press("s")
    page.wait("document.getElementById('fault').textContent.includes('0-1.js is missing')")
    page.press("s")
    page.wait("document.getElementById('fault').textContent.includes('another page')")
    page.press("s")
    page.loaded()
    assert page.browser.locator("#fault").is_hidden()
    context.close()


def test_the_policy_forbids_requests(chromium: Any, folder: Path) -> None:
    context = chromium.new_context()
    page = Page(context.new_page())
    page.browser.goto((folder / "all.html").as_uri())

    outcome = page.value(
        """async () => {
          const refused = [];
          const note = (violation) => refused.push(violation.effectiveDirective);
          document.addEventListener("securitypolicyviolation", note);
          await fetch("data:text/plain,x").catch(() => {});
          const image = new Image();
          image.src = "http://127.0.0.1:9/x.png";
          const script = document.createElement("script");
          script.src = "http://127.0.0.1:9/x.js";
          document.head.append(script);
          await new Promise((resolve) => setTimeout(resolve, 200));
          return refused.sort();
        }"""
    )

    assert outcome == ["connect-src", "img-src", "script-src-elem"]
    context.close()
