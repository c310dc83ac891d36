"""Training as users run it: `python train.py`, killed, resumed, exported, and in a recipe."""

import dataclasses
import json
import re
import shutil
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import train
from demixing import atomic
from demixing.cli import main as command
from demixing.errors import ConfigError
from demixing.networks.chunk_geometry import ChunkGeometry
from demixing.separators import trained
from demixing.training import checkpoint, config, distributed, export, log, loop, setup
from demixing.training.config import Optimiser, Run
from demixing.training.distributed import Processes
from demixing.training.ema import Average
from demixing.training.optimiser import optimiser_of
from demixing.weights import readers
from tests.waiting import begun, until

pytestmark = pytest.mark.engine

STEMS = ("drums", "rest")
PATIENCE_S = 600
"""Time to import torch and to train a little on a slow and busy machine."""

RUN = """
stems = ["drums", "rest"]
samples = 8192
batch = 4
steps = 6
workers = 0
save_every_steps = 2
ema_decay = 0.9
validation = { every_steps = 3 }
data = { train = ["TRAIN"], valid = ["VALID"], examples_per_epoch = 5 }
loss = { name = "wave_l1" }

[network]
name = "band_split"
options = { features = 4, layers = 1, chunk_s = 1.0 }

[optimiser]
learning_rate = 1e-2
warm_up_steps = 2

[[augmentations]]
name = "remix"

[[augmentations]]
name = "gain"
"""


@pytest.fixture(scope="module")
def run_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    for split, songs in (("train", 3), ("valid", 1)):
        for number in range(songs):
            song = folder / split / f"song_{number}"
            song.mkdir(parents=True)
            seconds = np.arange(44_100) / 44_100
            rest = 0.2 * np.sin(2 * np.pi * (200 + 50 * number) * seconds)
            drums = 0.2 * rng.standard_normal(44_100) * np.exp(-30 * (seconds % 0.25))
            for stem, audio in zip(STEMS, (drums, rest), strict=True):
                soundfile.write(song / f"{stem}.wav", np.stack([audio, audio], 1), 44_100)
    text = RUN.replace("TRAIN", str(folder / "train")).replace("VALID", str(folder / "valid"))
    path = folder / "small.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def finished(run_file: Path) -> Path:
    folder = run_file.parent / "finished"
    assert train.main([str(run_file), "--out", str(folder)]) == 0
    return folder


def curve(folder: Path) -> list[tuple[int, float, float]]:
    events = log.events(folder)
    return [(one["step"], one["loss"], one["gradient"]) for one in events if one["kind"] == "step"]


def validations(folder: Path) -> list[dict[str, Any]]:
    events = log.events(folder)
    return [
        {key: value for key, value in one.items() if key != "seconds"}
        for one in events
        if one["kind"] == "validation"
    ]


def words(run_file: Path, folder: Path, *settings: str) -> list[str]:
    """Arguments of the command line."""
    return [str(run_file), "--out", str(folder), *(f"--set={one}" for one in settings)]


def test_a_run_learns_and_logs_its_progress(finished: Path) -> None:
    steps = curve(finished)

    assert [step for step, _, _ in steps] == [1, 2, 3, 4, 5, 6]
    assert steps[-1][1] < steps[0][1]
    assert [one["step"] for one in validations(finished)] == [3, 6]
    assert set(validations(finished)[0]["stems"]) == set(STEMS)
    assert list((finished / "tensorboard").glob("events.out.tfevents.*"))


@pytest.mark.slow
@pytest.mark.process
def test_a_killed_run_resumes_as_if_it_had_not_stopped(
    run_file: Path, finished: Path, tmp_path: Path
) -> None:
    same = ("optimiser.decay=constant", "validation.every_steps=100000")
    command = [sys.executable, "train.py", *words(run_file, tmp_path, "steps=100000", *same)]
    with begun(command) as process:
        until(
            lambda: (
                process.poll() is not None
                or ((tmp_path / checkpoint.STATE).exists() and len(curve(tmp_path)) >= 8)
            ),
            PATIENCE_S,
        )
        assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGKILL)
        process.communicate()
    before = curve(tmp_path)
    last = max(step for step, _, _ in before)

    more = (f"steps={last + 3}", *same)
    assert train.main(words(run_file, tmp_path, *more)) == 0

    whole = tmp_path / "whole"
    assert train.main(words(run_file, whole, *more)) == 0
    assert curve(tmp_path) == curve(whole)
    assert before == curve(whole)[: len(before)]
    random = [checkpoint.contents(one / checkpoint.STATE)["torch"] for one in (tmp_path, whole)]
    assert torch.equal(*random)


@pytest.mark.slow
@pytest.mark.process
def test_two_processes_compute_the_same_as_one(
    run_file: Path, finished: Path, tmp_path: Path
) -> None:
    two = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")

    with begun([*two, "train.py", *words(run_file, tmp_path)]) as process:
        said = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 0, said
    for ours, theirs in zip(curve(tmp_path), curve(finished), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    (mean,) = {round(one["mean"], 3) for one in validations(tmp_path)[-1:]}
    assert mean == pytest.approx(validations(finished)[-1]["mean"], abs=0.01)


@pytest.mark.process
def test_batches_are_the_same_for_any_number_of_workers_and_processes(run_file: Path) -> None:
    run = config.load(run_file, ["workers=0"])
    examples = setup.examples(run)
    expected = torch.stack([examples[position] for position in range(8, 24)])
    cpu = torch.device("cpu")

    for workers, size in ((0, 1), (0, 4), (2, 1), (1, 2)):
        other = dataclasses.replace(run, workers=workers)
        ranks = [
            list(setup.loader(examples, other, 2, Processes(rank, size, cpu)))
            for rank in range(size)
        ]
        assert torch.equal(
            torch.cat([part for step in zip(*ranks, strict=True) for part in step]), expected
        )
        assert all(part.is_shared() == bool(workers) for part in ranks[0])


@pytest.mark.slow
@pytest.mark.process
def test_a_run_resumes_on_other_workers_and_processes(run_file: Path, tmp_path: Path) -> None:
    same = ("optimiser.decay=constant", "data.valid=[]")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train.main(words(run_file, whole, "steps=12", *same)) == 0

    assert train.main(words(run_file, parts, "steps=4", *same)) == 0
    assert train.main(words(run_file, parts, "steps=8", "workers=2", *same)) == 0
    two = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    arguments = words(run_file, parts, "steps=12", "workers=1", *same)
    with begun([*two, "train.py", *arguments]) as process:
        said = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 0, said
    assert curve(parts)[:8] == curve(whole)[:8]
    for ours, theirs in zip(curve(parts), curve(whole), strict=True):
        # Two processes add up the gradients in another order.
        assert ours == pytest.approx(theirs, rel=1e-5)


def test_a_batch_that_cannot_be_shared_is_refused(run_file: Path, tmp_path: Path) -> None:
    three = Processes(0, 3, torch.device("cpu"))

    with pytest.raises(ConfigError, match="a multiple of the 3 processes, got 4; change it"):
        list(loop.train(config.load(run_file), tmp_path, three))


def test_two_runs_do_not_train_in_one_folder(
    run_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = loop.train(config.load(run_file), tmp_path, Processes(0, 1, torch.device("cpu")))
    next(first)
    before = (tmp_path / log.LOG).read_bytes()

    assert train.main(words(run_file, tmp_path)) == 2

    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert f"expected no other training in {str(tmp_path)!r}, but one is at work" in line
    assert (tmp_path / log.LOG).read_bytes() == before
    first.close()  # type: ignore[attr-defined]
    assert train.main(words(run_file, tmp_path, "steps=2")) == 0


@pytest.mark.slow
@pytest.mark.process
def test_all_processes_end_if_the_folder_is_taken(run_file: Path, tmp_path: Path) -> None:
    lock = atomic.locked(tmp_path)
    two = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")

    with begun([*two, "train.py", *words(run_file, tmp_path)]) as process:
        _, said = process.communicate(timeout=PATIENCE_S)
    atomic.unlock(lock)

    assert process.returncode != 0
    assert "error: expected no other training" in said  # of each, if the first does not end all
    assert not list(tmp_path.iterdir())


def test_a_run_says_and_logs_how_long_it_waits(
    run_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(words(run_file, tmp_path, "steps=4", "data.valid=[]")) == 0

    said = capsys.readouterr()
    text = said.out + said.err
    assert re.search(r"step 4: loss \S+, \d+ % waiting for examples, \d+ % computing", text)
    times = [one for one in log.events(tmp_path) if one["kind"] == "time"]
    assert [one["step"] for one in times] == [2, 4]
    assert all(0 < one["waiting"] + one["computing"] <= 1 for one in times)
    assert all(one["wait"] >= 0 for one in log.events(tmp_path) if one["kind"] == "step")


def test_a_run_of_several_gpus_resumes_on_fewer(
    finished: Path, run_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = checkpoint.contents(finished / checkpoint.STATE)
    states = [torch.tensor([number], dtype=torch.uint8) for number in range(2)]
    checkpoint.write(tmp_path / "state.pt", {**found, "cuda": states})
    run = config.load(run_file)
    network = setup.built(run)
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(
        torch.cuda, "set_rng_state", lambda state, device: given.append((int(state), device))
    )

    checkpoint.resume(
        tmp_path / "state.pt",
        run,
        network,
        Average(network, run.ema_decay),
        optimiser_of(network, run.optimiser),
    )

    assert given == [(0, 0)]


def test_files_of_tensorboard_do_not_become_more_with_each_interruption(tmp_path: Path) -> None:
    for step in range(3):
        run = log.RunLog(tmp_path, step)
        run.write("step", step + 1, loss=0.5)
        run.close()

    (board,) = (tmp_path / log.BOARD).iterdir()
    assert board.read_bytes().count(b"step/loss") == 3
    assert [event["step"] for event in log.events(tmp_path)] == [1, 2, 3]


def test_exported_weights_separate_in_a_recipe(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path))
    arguments = ["export", str(finished), "--name", "small", "--to", str(tmp_path)]

    assert command.main(arguments) == 0

    separator = trained.build("small")
    assert separator.stems == STEMS
    state = torch.load(finished / loop.BEST, weights_only=True)
    network = setup.built(setup.run_of(finished))
    network.load_state_dict(state["network"])
    mixtures = 0.1 * torch.randn(1, 2, network.chunk)
    with torch.inference_mode():
        expected = network.eval()(mixtures)
        answer = separator.separate(mixtures)
    error = (answer - expected).square().sum() / expected.square().sum()
    assert error < 1e-5  # matrices are stored in half precision
    card = (tmp_path / "small.md").read_text(encoding="utf-8")
    assert "band_split" in card
    assert str(finished.parent) not in card


def test_weights_of_eight_bits_are_smaller_and_are_scored_as_stored(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path))
    arguments = ["export", str(finished), "--to", str(tmp_path)]

    assert command.main([*arguments, "--name", "large"]) == 0
    assert command.main([*arguments, "--name", "small", "--bits", "8"]) == 0

    large, small = (tmp_path / f"{name}.safetensors" for name in ("large", "small"))
    assert small.stat().st_size < large.stat().st_size  # a small network is mostly header
    expected = readers.read("safetensors", large).state
    state = readers.read("safetensors", small).state
    assert state.keys() == expected.keys()
    for key, value in expected.items():
        step = value.abs().max() / 127 if value.dim() > 1 else 0
        torch.testing.assert_close(state[key].float(), value.float(), atol=float(step), rtol=1e-3)
    scores = export.scored(finished, state)
    assert f"{scores['stems'][STEMS[0]]:.3f}" in (tmp_path / "small.md").read_text(encoding="utf-8")


def test_weights_of_several_runs_are_averaged(
    run_file: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path))
    other = tmp_path / "other"
    assert (
        train.main([str(run_file), "--out", str(other), "--set", "optimiser.betas=[0.5,0.9]"]) == 0
    )
    arguments = ["export", str(finished), str(other), "--name", "soup", "--to", str(tmp_path)]

    assert command.main(arguments) == 0

    states = [
        torch.load(folder / loop.BEST, weights_only=True)["network"] for folder in (finished, other)
    ]
    soup = readers.read("safetensors", tmp_path / "soup.safetensors").state
    for key, value in soup.items():
        expected = (states[0][key].float() + states[1][key].float()) / 2
        torch.testing.assert_close(value.float(), expected, atol=1e-3, rtol=1e-3)
    card = (tmp_path / "soup.md").read_text(encoding="utf-8")
    assert card.count("started from random weights") == 2
    assert "the average of these weights" in card
    assert str(tmp_path) not in card


def test_runs_of_other_networks_are_not_averaged(
    run_file: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    small = ["--set", "network.options={features=2, layers=1, chunk_s=1.0}", "--set", "steps=3"]
    assert train.main([str(run_file), "--out", str(other), *small]) == 0

    assert (
        command.main(["export", str(finished), str(other), "--name", "x", "--to", str(tmp_path)])
        == 2
    )
    assert "expected runs with the same network" in capsys.readouterr().err
    assert not (tmp_path / "x.safetensors").exists()


@pytest.mark.parametrize("contents", [b"", b"PK\x03\x04 cut off"])
def test_a_checkpoint_that_did_not_reach_the_disk_is_named(
    run_file: Path,
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    contents: bytes,
) -> None:
    copy = shutil.copytree(finished, tmp_path / "copy")
    (copy / checkpoint.STATE).write_bytes(contents)

    assert train.main([str(run_file), "--out", str(copy)]) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert f"expected {checkpoint.STATE} of a run in {str(copy)!r}" in line
    assert ("it is empty" in line) is (not contents)
    assert "remove the folder to start again" in line


def test_an_altered_export_is_refused(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path))
    assert command.main(["export", str(finished), "--name", "small", "--to", str(tmp_path)]) == 0
    path = tmp_path / "small.safetensors"
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)

    with pytest.raises(Exception, match="small"):
        trained.build("small")


def test_a_folder_of_another_run_is_refused(
    run_file: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = train.main([str(run_file), "--out", str(finished), "--set", "batch=2"])

    assert status == 2
    assert "has other values of batch" in capsys.readouterr().err


def test_a_step_without_a_finite_loss_changes_nothing_and_writes_its_batch(
    run_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for stem in STEMS:
        song = tmp_path / "data" / "song"
        song.mkdir(parents=True, exist_ok=True)
        audio = np.full((44_100, 2), np.nan if stem == "drums" else 0.1, dtype=np.float32)
        audio[:100] = 0.1
        soundfile.write(song / f"{stem}.wav", audio, 44_100, subtype="FLOAT")
    folder = tmp_path / "run"
    settings = ["--set", f"data.train={tmp_path / 'data'}", "--set", "data.valid=[]"]

    status = train.main([str(run_file), "--out", str(folder), *settings])

    assert status == 2
    assert re.search(r"not finite 3 steps in a row", capsys.readouterr().err)
    kept = torch.load(folder / "bad_batch_1.pt", weights_only=True)
    assert kept["stems"].shape == (4, 2, 2, 8192)


class Normalised(ChunkGeometry):
    """A small network that learns the statistics of its input, as ByteSep's networks do."""

    def __init__(self, stems: int) -> None:
        super().__init__()
        self.norm, self.mix = torch.nn.BatchNorm1d(2), torch.nn.Conv1d(2, 2 * stems, 1)

    def forward(self, mixtures: torch.Tensor) -> torch.Tensor:
        """Estimate stems."""
        return self.mix(self.norm(mixtures)).unflatten(1, (-1, 2))  # type: ignore[no-any-return]


def test_a_step_without_a_finite_loss_leaves_no_trace_in_running_statistics(
    run_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = config.load(run_file, ["data.valid=[]", "save_every_steps=1", "steps=3"])
    monkeypatch.setattr(setup, "built", lambda run: Normalised(len(run.stems)))
    good = 0.1 * torch.randn(1, 2, 2, 8192, generator=torch.Generator().manual_seed(0))
    bad = good.clone()
    bad[0, 0, 0, 100] = torch.nan
    monkeypatch.setattr(setup, "loader", lambda *_: [good, bad, good])
    states = [
        checkpoint.contents(tmp_path / checkpoint.STATE)
        for line in loop.train(run, tmp_path, Processes(0, 1, torch.device("cpu")))
        if line.startswith("step")
    ]

    first, second, third = states
    assert any("running" in key for key in first["network"])
    assert second["progress"]["skipped"] == 1
    for part in ("network", "average"):
        for key, value in second[part].items():
            assert torch.equal(value, first[part][key]), key
        assert all(bool(torch.isfinite(value).all()) for value in third[part].values())
    assert third["progress"]["skipped"] == 0


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("network.name=unett", "no trainable network named 'unett'"),
        ("network.start=nothing", "no weights 'nothing'"),
        ("loss.name=l3", "no loss named 'l3'"),
        ("augmentations=[{name='gane'}]", "no augmentation named 'gane'"),
        ("data.train=nowhere", "nowhere"),
        ("data.shares=[1, 2]", "data.shares must have one value per folder, 1 in all"),
    ],
)
def test_a_mistake_in_a_run_file_is_reported_in_one_sentence(
    run_file: Path, tmp_path: Path, setting: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = train.main([str(run_file), "--out", str(tmp_path / "run"), "--set", setting])

    assert status == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run" / checkpoint.STATE).exists()


def test_patience_ends_a_run(run_file: Path, tmp_path: Path) -> None:
    settings = ("optimiser.learning_rate=1e-12", "validation.every_steps=1", "steps=50")
    arguments = [part for one in (*settings, "validation.patience=2") for part in ("--set", one)]

    assert train.main([str(run_file), "--out", str(tmp_path), *arguments]) == 0

    assert len(curve(tmp_path)) < 50


def test_a_run_can_compare_magnitudes(run_file: Path, tmp_path: Path) -> None:
    settings = ["domain=magnitudes", "data.valid=[]", "steps=12", "batch=2"]
    network = ["network.name=shared_unet", "network.options={widths=[2, 4, 4, 4, 4, 4]}"]

    assert train.main(words(run_file, tmp_path, *settings, *network)) == 0

    losses = [loss for _, loss, _ in curve(tmp_path)]
    assert sum(losses[-4:]) < 0.9 * sum(losses[:4])


def test_the_average_follows_the_weights() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    average = Average(network, 0.5)
    start = network.weight.item()
    with torch.no_grad():
        network.weight += 1.0

    for step in range(1, 60):
        average.update(network, step)

    assert average.network.weight.item() == pytest.approx(start + 1.0, abs=1e-6)
    assert not average.network.weight.requires_grad


def test_norms_and_biases_do_not_decay() -> None:
    network = torch.nn.Sequential(torch.nn.Conv1d(2, 3, 3), torch.nn.BatchNorm1d(3))

    optimiser = optimiser_of(network, Optimiser(weight_decay=0.1))

    decays = {
        group["weight_decay"]: [one.dim() for one in group["params"]]
        for group in optimiser.param_groups
    }
    assert decays == {0.1: [3], 0.0: [1, 1, 1]}


@pytest.mark.parametrize("name", [log.LOG, log.OLD_LOG])
def test_a_log_drops_the_steps_that_will_be_computed_again(tmp_path: Path, name: str) -> None:
    first = log.RunLog(tmp_path, 0)
    for step in (1, 2, 3):
        first.write("step", step, loss=float("nan"))
    first.close()
    with (tmp_path / log.LOG).open("a", encoding="utf-8") as file:
        file.write('{"kind": "st')  # cut off by a kill
    (tmp_path / log.LOG).rename(tmp_path / name)

    log.RunLog(tmp_path, 2).close()

    kept = (tmp_path / log.LOG).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in kept] == [
        {"kind": "step", "step": step, "loss": None} for step in (1, 2)
    ]


@pytest.mark.parametrize("line", [b"5", b"[]", b"null", b'{"kind": "step"}', b"\xff"])
def test_a_log_is_read_up_to_a_line_that_is_damaged(tmp_path: Path, line: bytes) -> None:
    event = b'{"kind": "step", "step": 1}'
    (tmp_path / log.LOG).write_bytes(b"\n".join([event, line, event, b""]))

    log.RunLog(tmp_path, 2).close()

    assert log.events(tmp_path) == [{"kind": "step", "step": 1}]


def test_processes_wait_for_a_long_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[timedelta] = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(
        torch.distributed, "init_process_group", lambda _, timeout: given.append(timeout)
    )
    for name in ("barrier", "destroy_process_group"):
        monkeypatch.setattr(torch.distributed, name, lambda: None)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)

    with distributed.joined() as processes:
        assert (processes.rank, processes.size) == (1, 2)

    assert given[0] > timedelta(hours=10)


def test_a_run_with_defaults_has_a_network() -> None:
    assert isinstance(setup.built(Run(stems=STEMS)), ChunkGeometry)
