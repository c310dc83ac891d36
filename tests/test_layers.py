"""Which part may import which: see docs/architecture.md."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS = (
    ("atomic", "errors", "printing", "separator", "small_files"),
    ("ensemble", "evaluation", "machine", "plugins"),
    ("audio", "networks", "recipes", "rendering", "report", "weights"),
    ("chunks", "notebook", "separators"),
    ("schedule",),
    ("engine",),
    ("api", "process", "training"),
    ("cluster", "plots"),
    ("cli",),
)
"""Parts of the package, lowest first; each imports only parts below it, or of its own level."""

MAY_IMPORT: dict[str, set[str]] = {
    "demixing": set(),
    "my_submission": {"demixing"},
    "evaluator": {"demixing"},
    "samples": {"demixing"},
    "submitting": {"evaluator", "demixing"},
    "evaluate_locally": {"demixing", "my_submission", "samples"},
    "train": {"demixing"},
    "submit": {"submitting", "evaluator", "demixing"},
}
PROJECT = {*MAY_IMPORT, "models", "tests", "tools", "benchmarks"}
SEPARATING = {"numpy", "onnxruntime", "soundfile", "soxr", "torch", "tqdm"}
LIBRARIES: dict[str, set[str]] = {
    "demixing/audio": {"av", "numpy", "scipy", "soundfile", "soxr", "torch"},
    "demixing/networks": {"torch"},
    # av only when a stem.mp4 is opened, and museval only for its metrics
    "demixing/evaluation": {"av", "museval", "numpy", "scipy", "soundfile"},
    "demixing/training": {"av", "numpy", "pyworld", "scipy", "soundfile", "soxr", "torch"},
    "demixing/rendering": {"av", "mido", "numpy", "pyworld", "scipy", "soundfile", "soxr"},
    "demixing/cluster": {"fsspec", "ray"},  # only when an address or a cluster needs them
    "demixing/plots": {"jinja2", "matplotlib", "numpy"},  # only when a picture is drawn
    "demixing/report": {"PIL", "av", "jinja2", "markupsafe", "numpy"},
    "demixing/chunks": SEPARATING,
    "demixing/engine": SEPARATING,
    "demixing/notebook": SEPARATING,
    "demixing/process": SEPARATING,
    "demixing/recipes": SEPARATING,
    "demixing/schedule": SEPARATING,
    "demixing/separators": SEPARATING | {"scipy", "yaml"},
    "demixing/weights": SEPARATING | {"safetensors"},
    "demixing/cli": SEPARATING,
    "my_submission": SEPARATING,
    "evaluator": {"numpy", "soundfile"},
    "submitting": set(),
    "submit": set(),
}
"""Libraries that each part may import besides the standard library."""


def sources(part: str) -> list[Path]:
    file = ROOT / f"{part}.py"
    return [file] if file.is_file() else sorted((ROOT / part).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Dotted names of modules or of their contents."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the direction"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_a_folder_imports_only_what_is_below_it(part: str) -> None:
    files = sources(part)

    found = {name.split(".")[0] for path in files for name in imported(path)} & PROJECT

    assert files
    assert found <= MAY_IMPORT[part] | {part}


@pytest.mark.parametrize("floor", range(len(FLOORS)))
def test_no_import_of_the_package_goes_upwards(floor: int) -> None:
    above = {part for parts in FLOORS[floor + 1 :] for part in parts}

    for part in FLOORS[floor]:
        for path in sources(f"demixing/{part}"):
            names = [name.split(".") for name in imported(path)]
            found = {words[1] for words in names if words[0] == "demixing"}
            assert not found & above, path


def test_every_part_of_the_package_has_a_level() -> None:
    known = {part for parts in FLOORS for part in parts}
    there = {path.stem for path in (ROOT / "demixing").iterdir() if not path.name.startswith("_")}

    assert there - {"py"} == known


def test_the_evaluation_can_be_used_without_the_rest_of_the_package() -> None:
    names = [name.split(".") for path in sources("demixing/evaluation") for name in imported(path)]

    used = {words[1] for words in names if words[0] == "demixing"}

    assert used == {"atomic", "errors", "evaluation", "printing", "small_files"}


def test_separating_needs_nothing_that_the_image_leaves_out() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    left_out = {line.split("/")[1] for line in lines if line.startswith("demixing/")}
    parts = {part for parts in FLOORS for part in parts} - left_out - {"cli"}

    assert left_out == {"cluster", "evaluation", "plots", "rendering", "report", "training"}
    folders = [*(f"demixing/{part}" for part in parts), "my_submission"]
    for path in (path for folder in folders for path in sources(folder)):
        found = {name.split(".")[1] for name in imported(path) if name.startswith("demixing.")}
        assert not found & left_out, path


def test_no_module_imports_itself_indirectly() -> None:
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for part in MAY_IMPORT
        for path in sources(part)
    }
    graph = {
        name: {used if used in modules else used.rpartition(".")[0] for used in imported(path)}
        & modules.keys() - {name}
        for name, path in modules.items()
    }
    while leaves := {name for name, used in graph.items() if not used & graph.keys()}:
        graph = {name: used for name, used in graph.items() if name not in leaves}

    assert not graph


@pytest.mark.parametrize("part", LIBRARIES)
def test_a_part_uses_only_its_libraries(part: str) -> None:
    found = {name.split(".")[0] for path in sources(part) for name in imported(path)}

    assert found - PROJECT - sys.stdlib_module_names <= LIBRARIES[part]


@pytest.mark.process
@pytest.mark.parametrize("command", ["demixing", "my_submission", "evaluator", "submit", "train"])
def test_help_does_not_wait_for_torch(command: str) -> None:
    program = (
        "import sys, runpy\n"
        f"sys.argv = ['{command}', '--help']\n"
        "try:\n"
        f"    runpy.run_module('{command}', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0\n"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)\n"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True)

    assert done.returncode == 0, done.stderr.decode()
