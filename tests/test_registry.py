from pathlib import Path

import pytest

from demixing.errors import ConfigError
from demixing.plugins import Registry


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    package = tmp_path / "shapes"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "circle.py").write_text(
        '"""Round.\n\nReally."""\n'
        "def build(radius=1):\n"
        "    if radius < 0:\n"
        "        raise ValueError('negative')\n"
        "    return radius\n",
        encoding="utf-8",
    )
    (package / "broken.py").write_text('"""Not to be imported."""\nraise SystemExit\n')
    monkeypatch.syspath_prepend(tmp_path)
    return Registry("shapes", [str(package)], "shape")


def test_names_and_summaries_import_nothing(registry: Registry) -> None:
    assert registry.names() == ["broken", "circle"]
    assert registry.summary("circle") == "Round."
    assert registry.summary("broken") == "Not to be imported."


def test_a_choice_is_built_with_its_options(registry: Registry) -> None:
    assert registry.build("circle") == 1
    assert registry.build("circle", {"radius": 3}) == 3


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        (
            "circel",
            {},
            r"no shape named 'circel'; did you mean 'circle'\? \(have: broken, circle\)",
        ),
        (
            "circle",
            {"radios": 1},
            r"shape 'circle' has no option 'radios'; did you mean 'radius'\?",
        ),
        ("circle", {"radius": -1}, "shape 'circle' refuses its options: negative"),
    ],
)
def test_mistakes_are_one_sentence(
    registry: Registry, name: str, options: dict[str, int], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        registry.build(name, options)
