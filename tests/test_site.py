"""The documentation builds as a site without a warning, and reading it asks no other computer."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from demixing import separators
from demixing.weights.catalogue import entries
from tools.site import catalogue, figures

ROOT = Path(__file__).parents[1]
LOADED = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}
"""Elements that load something, and the attribute with its address."""

pytestmark = [pytest.mark.process, pytest.mark.slow]


class Loads(HTMLParser):
    """Collects the addresses that a page loads, and the text of its styles."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag in LOADED:
            self.addresses.append(attributes.get(LOADED[tag]) or "")
        self.addresses += re.findall(r"url\(([^)]*)\)", attributes.get("style") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as `make docs` builds it; a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(  # not --quiet: it hides warnings from --strict, too
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))

    assert len(pages) > 60
    for page in pages:
        loads = Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        assert loads.addresses
        assert [one for one in loads.addresses if one.startswith(("http", "//"))] == [], page


def test_styles_load_nothing_from_elsewhere(site: Path) -> None:
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert re.findall(r"(?:url\(|@import)[\"'\s]*(?:https?:)?//", text) == [], style


def test_the_search_works_from_a_disk(site: Path) -> None:
    index = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    start = (site / "index.html").read_text(encoding="utf-8")

    assert len(json.loads(index.removeprefix("var __index = "))["docs"]) > 300
    assert 'src="assets/iframe-worker.js"' in start


def test_every_separator_has_a_page(site: Path) -> None:
    for name in separators.names():
        text = (site / "separators" / f"{name}.html").read_text(encoding="utf-8")
        assert "<h1" in text
        assert (figures.of(name) is None) == ('<svg class="chunks"' not in text), name


def test_a_link_to_a_file_beside_docs_leads_to_a_page_of_the_site(site: Path) -> None:
    assert 'href="CONTRIBUTING.html"' in (site / "index.html").read_text(encoding="utf-8")
    assert 'href="adding.html"' in (site / "CONTRIBUTING.html").read_text(encoding="utf-8")


def test_docstrings_name_objects_without_their_markup(site: Path) -> None:
    text = (site / "api" / "separators.html").read_text(encoding="utf-8")

    assert re.findall(r":(?:class|func|meth|mod|data):", text) == []
    assert (
        '<a class="autorefs autorefs-internal" title="demixing.separator.Separator.separate'
        in (re.sub(r"&lt;[^&]*&gt;", "", text))
        or "#demixing.separator.Separator.separate" in text
    )


def test_every_file_of_weights_is_on_the_page_of_one_separator() -> None:
    names = [entry.name for name in separators.names() for entry in catalogue.entries_of(name)]

    assert sorted(names) == sorted(entries())


def test_figures_are_of_separators_that_there_are() -> None:
    assert {*figures.read()["separators"]} == {*separators.names()}


def test_networks_with_random_weights_are_as_large_as_the_published_files() -> None:
    """Each number of a file of weights takes four bytes; sizes are known for some of them."""
    measured = figures.read()["separators"]
    known = {
        "bs_roformer": "bs_roformer_musdb",
        "bytesep": "bytesep_subband_vocals",
        "mel_band_roformer": "mel_band_roformer_kim",
        "mrx": "mrx_adapted_loudness",
        "scnet": "scnet_small",
        "tfc_tdf_v3": "kuielab_mdx_a_seed0",
    }

    for name, file in known.items():
        size_bytes = entries()[file].size_bytes
        assert 4 * measured[name]["weights"] == pytest.approx(size_bytes, rel=0.02), name
