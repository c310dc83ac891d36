"""Results appear complete or not at all, on a disk and on an object store."""

import errno
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from demixing.cluster import addresses, manifest, publishing, records, tasks, work
from demixing.cluster.records import Failure, Record
from demixing.errors import ConfigError, OutputError


@pytest.fixture(params=["disk", "store"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    system = fsspec.filesystem("memory")
    yield str(tmp_path / "out") if request.param == "disk" else "memory://bucket/out"
    system.rm("/", recursive=True)


def publish(
    destination: str, task: str = "t", name: str = "a/song", source_sha256: str = "0", **files: str
) -> Record:
    """Publish results as a worker does."""
    with publishing.stage(destination) as folder:
        for stem, text in files.items():
            (folder / f"{stem}.wav").write_text(text)
        facts = {path.name: records.facts(path) for path in sorted(folder.iterdir())}
        record = Record(
            name=name,
            source="s",
            source_bytes=1,
            source_sha256=source_sha256,
            task=task,
            version="1",
            files=facts,
            values={"vocals": 1.5, "bass": None},
        )
        publishing.publish(destination, record, folder)
    return record


def failure(name: str) -> Failure:
    return Failure(name=name, source="s", task="t", error="no")


def texts(destination: str) -> dict[str, str]:
    """All results, without records."""
    found = {}
    for one in addresses.files(destination):
        found[one.path] = (addresses.read(f"{destination}/{one.path}", 100) or b"").decode()
    return found


def test_a_result_is_there_with_its_record(destination: str) -> None:
    record = publish(destination, vocals="v", bass="b")

    assert publishing.done(destination, "a/song") == record
    assert publishing.whole(destination, record)
    assert texts(destination) == {"a/song/bass.wav": "b", "a/song/vocals.wav": "v"}


def test_nothing_is_done_at_first(destination: str) -> None:
    assert publishing.done(destination, "a/song") is None
    assert manifest.read(destination) == manifest.Manifest(done=(), failed=())


def test_without_a_record_nothing_counts(destination: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            publish(destination, vocals="half")

    assert publishing.done(destination, "a/song") is None
    publish(destination, vocals="v")
    assert texts(destination) == {"a/song/vocals.wav": "v"}


def test_two_workers_with_one_song_do_no_harm(destination: str) -> None:
    first, second = (publish(destination, vocals="v", bass="b") for _ in range(2))

    assert first == second
    assert publishing.whole(destination, second)


def test_results_of_another_task_are_removed(destination: str) -> None:
    publish(destination, vocals="old", drums="old")

    record = publish(destination, task="other", vocals="new")

    assert texts(destination) == {"a/song/vocals.wav": "new"}
    assert publishing.done(destination, "a/song") == record


@pytest.mark.parametrize("change", [{"task": "other"}, {"source_sha256": "1"}])
def test_while_other_results_are_replaced_there_is_no_record_of_them(
    destination: str, change: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise OSError("the store is lost")

    publish(destination, vocals="old")
    for name in ("_move", "_upload"):
        monkeypatch.setattr(publishing, name, lost)

    with pytest.raises(addresses.StoreError, match="the store is lost"):
        publish(destination, vocals="new", **change)

    assert publishing.done(destination, "a/song") is None


def test_a_file_that_was_lost_or_cut_is_noticed(destination: str) -> None:
    record = publish(destination, vocals="voice", bass="b")
    publishing.write(f"{destination}/a/song/vocals.wav", "v")

    assert not publishing.whole(destination, record)
    addresses.remove(f"{destination}/a/song/bass.wav")
    assert not publishing.whole(destination, record)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"name": 3}', "\0" * 10])
def test_a_damaged_record_does_not_count(destination: str, text: str) -> None:
    publish(destination, vocals="v")
    publishing.write(records.place(destination, records.DONE, "a/song"), text)

    assert publishing.done(destination, "a/song") is None
    assert manifest.read(destination).done == ()


def test_the_manifest_has_a_line_for_each_song(destination: str) -> None:
    for name in ("b", "a/song", "c"):
        publishing.fail(destination, failure(name))
    publish(destination, vocals="v", name="c")
    publish(destination, vocals="v")

    found = manifest.write(destination)

    assert [one.name for one in found.done] == ["a/song", "c"]
    assert [one.name for one in found.failed] == ["b"]
    assert found.means() == {"vocals": 1.5}
    text = (addresses.read(f"{destination}/manifest.jsonl", 10_000) or b"").decode()
    assert [line.split('"status":')[1][:7] for line in text.splitlines()] == [
        '"done",',
        '"failed',
        '"done",',
    ]


def test_a_song_whose_last_try_failed_is_not_done(destination: str) -> None:
    publish(destination, vocals="v")
    publishing.fail(destination, failure("a/song"))

    found = manifest.read(destination)

    assert found.done == ()
    assert [one.name for one in found.failed] == ["a/song"]
    assert publishing.failed(destination) == {"a/song"}


def test_results_of_another_task_are_not_in_the_manifest(destination: str) -> None:
    task = tasks.claim(destination, {"kind": "x"}, replace=False)
    publish(destination, task=task, name="new", vocals="v")
    publish(destination, task="old", name="old", vocals="v")

    assert [one.name for one in manifest.read(destination).done] == ["new"]


def test_a_destination_belongs_to_one_task(destination: str) -> None:
    first = tasks.claim(destination, {"kind": "x", "bits": "16"}, replace=False)

    assert tasks.claim(destination, {"kind": "x", "bits": "16"}, replace=False) == first
    with pytest.raises(ConfigError, match='another bits: "16" instead of "24"'):
        tasks.claim(destination, {"kind": "x", "bits": "24"}, replace=False)
    assert tasks.claim(destination, {"kind": "x", "bits": "24"}, replace=True) != first


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"weights": {"a": "1"}}, {"weights": {"a": "1", "b": "2"}}, "other weights: without b"),
        ({"weights": {"a": "1", "c": "1"}}, {"weights": {"a": "2"}}, "with c; with another a"),
        ({"members": {"stems": ["a"]}}, {"members": {"stems": []}}, 'another stems: ["a"] instead'),
        ({"members": {"x": 99 * "a"}}, {"members": {"x": "b"}}, "another 'x' in the recipe"),
    ],
)
def test_how_two_tasks_differ_is_said_in_words(
    destination: str, old: dict[str, object], new: dict[str, object], said: str
) -> None:
    tasks.claim(destination, old, replace=False)

    with pytest.raises(ConfigError, match=said.replace("[", r"\[")):
        tasks.claim(destination, new, replace=False)


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (OSError(errno.EROFS, "Read-only file system"), True),
        (PermissionError(errno.EACCES, "Permission denied"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (ConnectionError("reset"), False),
    ],
)
def test_only_errors_that_may_pass_are_worth_another_try(error: OSError, final: bool) -> None:
    with pytest.raises(addresses.StoreError) as caught, addresses.errors("write"):
        raise error
    assert isinstance(caught.value, addresses.RefusedError) is final
    assert work.may_pass(caught.value) is not final

    failed = OutputError("cannot write stems")
    assert not work.may_pass(failed)  # such as a NaN: the song's own fault
    failed.__cause__ = error
    assert work.may_pass(failed) is not final


def test_what_a_killed_worker_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    with publishing.stage(str(tmp_path)) as folder:
        abandoned = folder.with_name(".unfinished-dead")
        abandoned.mkdir()
        with publishing.stage(str(tmp_path)) as other:
            assert folder.is_dir()
            assert other.is_dir()

    assert not abandoned.exists()
