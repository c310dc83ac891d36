"""``demixing list --systems``: the systems of the catalogue as a table."""

import json

import pytest

from demixing.cli import systems
from demixing.cli.main import main
from demixing.weights import catalogue
from demixing.weights.installer import chosen

KNOWN = catalogue.entries()
FOUND = {one.name: one for one in systems.systems(KNOWN.values())}


def test_every_file_belongs_to_one_system_which_fetches_it() -> None:
    listed = [name for one in FOUND.values() for name in one.files]

    assert listed == [one.name for one in KNOWN.values() if one.folder is None]
    for one in FOUND.values():
        assert [file.name for file in chosen([one.name], KNOWN)] == list(one.files)


def test_files_of_one_system_are_taken_together() -> None:
    system = FOUND["kuielab_mdx_c"]

    assert system.files == tuple(f"kuielab_mdx_c_model{number}" for number in (1, 2, 3))
    assert system.stems == ("vocals", "drums", "bass", "other")
    assert system.size_bytes == 183_368_960 + 358_963_712 + 183_344_384
    assert system.needs_gpu
    assert system.boards == {"mdx": ("C",)}
    assert len(system.published) == 1


def test_alternatives_are_systems_of_their_own() -> None:
    assert {"demucs_v1", "demucs_v1_extra", "scnet_xl", "scnet_xl_ihf"} <= FOUND.keys()


def test_figures_of_single_stems_name_the_stem() -> None:
    first, *_ = FOUND["mdx_net_a"].published

    assert first == f"bass: {KNOWN['mdx_net_a_bass'].published}"


def test_a_size_that_is_not_known_is_not_invented() -> None:
    assert FOUND["scnet_masked_xl_ihf"].size_bytes is None


def test_the_table_is_aligned_and_says_whose_figures_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["list", "--systems"]) == 0

    header, *rows = capsys.readouterr().out.splitlines()
    assert header.endswith("published by the authors, not measured here")
    assert len(rows) == len(FOUND)
    for title in ("stems", "boards", "published"):
        place = header.index(title)
        assert all(row[place - 1] == " " != row[place] for row in rows), title
    sizes = [row[: header.index("needs")].split()[-1] for row in rows]
    assert sizes[list(FOUND).index("scnet_small")] == "42"
    (kim,) = (row for row in rows if row.startswith("mel_band_roformer_kim "))
    assert "  913  yes " in kim
    assert kim.endswith("MDX C    SDR, Multisong: vocals 10.98")


def test_the_systems_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--systems", "--json"]) == 0

    (found,) = json.loads(capsys.readouterr().out).values()
    assert [one["name"] for one in found] == list(FOUND)
    mrx = next(one for one in found if one["name"] == "mrx")
    assert mrx == {
        "name": "mrx",
        "stems": ["music", "speech", "sfx"],
        "size_bytes": 122_317_463,
        "needs_gpu": False,
        "boards": {"cdx": ["A", "B"]},
        "published": ["SI-SDR, DnR test: music 4.2, speech 12.5, sfx 5.7"],
        "files": ["mrx"],
    }
