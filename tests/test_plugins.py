import math
from pathlib import Path

import pytest

from demixing.errors import ConfigError
from demixing.plugins import Plugins


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugins:
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
    (package / "whole.py").write_text(
        '"""Of whole sides."""\ndef build(sides=3):\n    return round(sides * 44100)\n'
    )
    (package / "broken.py").write_text('"""Not to be imported."""\nraise SystemExit\n')
    monkeypatch.syspath_prepend(tmp_path)
    return Plugins("shapes", [str(package)], "shape")


def test_names_and_summaries_import_nothing(plugins: Plugins) -> None:
    assert plugins.names() == ["broken", "circle", "whole"]
    assert plugins.summary("circle") == "Round."
    assert plugins.summary("broken") == "Not to be imported."


def test_a_choice_is_built_with_its_options(plugins: Plugins) -> None:
    assert plugins.build("circle") == 1
    assert plugins.build("circle", {"radius": 3}) == 3


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        (
            "circel",
            {},
            r"no shape named 'circel'; did you mean 'circle'\? \(available: broken, circle, wh",
        ),
        (
            "circle",
            {"radios": 1},
            r"shape 'circle' has no option 'radios'; did you mean 'radius'\?",
        ),
        ("circle", {"radius": -1}, "shape 'circle' rejects its options: negative"),
        ("whole", {"sides": math.inf}, "cannot convert float infinity .*, got sides = inf$"),
        ("whole", {"sides": math.nan}, "cannot convert float NaN .*, got sides = nan$"),
        ("whole", {"sides": 1e308}, "cannot convert float infinity .*, got sides = 1e\\+308$"),
    ],
)
def test_mistakes_are_one_sentence(
    plugins: Plugins, name: str, options: dict[str, int], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        plugins.build(name, options)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("return ['a', 'b']", ["a", "b"]),
        ("'It says why.'\n    return ()", ()),
        ("return [NAME]", None),
        ("if True:\n        return []\n    return ['a']", None),
        ("pass", None),
    ],
)
def test_a_literal_result_is_known_without_importing_the_module(
    plugins: Plugins, body: str, value: object
) -> None:
    (folder,) = plugins.paths
    Path(folder, "square.py").write_text(f"raise SystemExit\ndef uses():\n    {body}\n")

    assert plugins.literal("square", "uses") == value
    assert plugins.literal("square", "build") is None
