"""The list of work: folders and lists of songs, and names that are safe and unique."""

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from demixing.cluster import addresses, catalogue, names
from demixing.cluster.addresses import checked
from demixing.errors import ConfigError, SongError

SUFFIXES = frozenset({".wav", ".mp3"})


@pytest.fixture
def bucket() -> Iterator[str]:
    """An object store in memory."""
    system = fsspec.filesystem("memory")
    yield "memory://bucket"
    system.rm("/", recursive=True)


@pytest.fixture(params=["disk", "store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, bucket: str) -> str:
    return str(tmp_path) if request.param == "disk" else bucket


def put(address: str, text: str = "x") -> None:
    with fsspec.open(address, "w", auto_mkdir=True) as file:
        file.write(text)


def named(items: list[catalogue.Item], source: str) -> dict[str, str]:
    return {one.name: one.address.removeprefix(f"{source}/") for one in items}


def test_songs_of_a_folder_have_their_paths_as_names(folder: str) -> None:
    for path in ("a/one.wav", "a/two.MP3", "b/c/one.wav", "cover.jpg", ".hidden/x.wav", "a/.y.wav"):
        put(f"{folder}/{path}", path)

    found = catalogue.songs(folder, SUFFIXES)

    assert named(found, folder) == {
        "a/one": "a/one.wav",
        "a/two": "a/two.MP3",
        "b/c/one": "b/c/one.wav",
    }
    assert [one.size_bytes for one in found] == [9, 9, 11]


def test_files_that_differ_in_their_suffix_or_in_case_keep_their_suffix() -> None:
    found = names.of_files(["a/x.wav", "a/X.mp3", "a/y.wav"])

    assert found == {"a/x.wav": "a/x.wav", "a/X.mp3": "a/X.mp3", "a/y.wav": "a/y"}


def test_the_mixture_of_a_data_set_has_the_name_of_its_folder_and_stems_are_no_songs() -> None:
    found = names.of_files(["d/s/mixture.wav", "d/s/vocals.wav", "mixture.wav", "song.wav"])

    assert found == {"d/s/mixture.wav": "d/s", "mixture.wav": "mixture", "song.wav": "song"}


def test_names_from_outside_cannot_control_a_terminal() -> None:
    (name,) = names.of_files(["evil\x1b[2J\nname.wav"]).values()

    assert name == "evil%1b[2J%0aname"


@pytest.mark.parametrize(
    "name",
    [
        "../a",
        "a/../b",
        "/a",
        "a//b",
        ".a",
        "a/.b",
        "",
        " ",
        "a\x1b",
        "a\\b",
        "a\n",
        "n" * 201,
        "a/",
    ],
)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="song's name"):
        names.check(name)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("list.txt", "songs/a.wav\n\nsongs/b.wav\tother/name\n"),
        ("list.csv", "name,address\n,songs/a.wav\nother/name,songs/b.wav\n"),
        (
            "list.jsonl",
            '{"address": "songs/a.wav"}\r\n{"address": "songs/b.wav", "name": "other/name"}',
        ),
    ],
)
def test_a_list_names_addresses_relative_to_itself(folder: str, file: str, text: str) -> None:
    put(f"{folder}/{file}", text)

    found = catalogue.songs(f"{folder}/{file}", SUFFIXES)

    assert named(found, folder) == {"songs/a": "songs/a.wav", "other/name": "songs/b.wav"}


def test_addresses_in_a_list_may_be_anywhere(tmp_path: Path) -> None:
    put(f"{tmp_path}/list.txt", "s3://one/x/a.wav\ns3://one/y/a.wav\n/data/b.wav\n")

    found = catalogue.songs(f"{tmp_path}/list.txt", SUFFIXES)

    assert [one.name for one in found] == ["data/b", "one/x/a", "one/y/a"]
    assert [one.address for one in found] == ["/data/b.wav", "s3://one/x/a.wav", "s3://one/y/a.wav"]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("list.txt", "a.wav\tx\nb.wav\tX\n", "have the same name"),
        ("list.txt", "a.wav\t../x\n", "song's name"),
        ("list.txt", "\n", "found none"),
        ("list.txt", "a.wav\n/\n", "expected addresses of songs in .*, got '/'"),
        ("list.csv", "path\na.wav\n", "a column named address"),
        ("list.jsonl", '{"address": 1}', "expected line 1"),
        ("list.jsonl", "[" * 100_000, "expected line 1"),
        ("list.txt", "http://me:secret@host/a.wav", "without a user"),
        ("list.txt", "zip::https://host/a.zip", "one file or folder"),
    ],
)
def test_a_wrong_list_is_one_sentence(tmp_path: Path, file: str, text: str, message: str) -> None:
    put(f"{tmp_path}/{file}", text)

    with pytest.raises(ConfigError, match=message) as caught:
        catalogue.songs(f"{tmp_path}/{file}", SUFFIXES)

    assert "secret" not in str(caught.value)


def test_songs_of_a_data_set_are_folders(folder: str) -> None:
    for path in ("s/vocals.wav", "s/bass.wav", "t/vocals.wav", "t/notes.txt", "deep/er/x.wav"):
        put(f"{folder}/{path}")

    found = catalogue.folders(folder, SUFFIXES)

    assert named(found, folder) == {"s": "s", "t": "t"}
    assert [one.size_bytes for one in found] == [2, 1]


def test_a_data_set_for_training_has_all_songs_in_one_folder() -> None:
    items = [catalogue.Item(name=name, address="x") for name in ("a/b", "c")]

    assert [one.name for one in catalogue.flattened(items)] == ["a__b", "c"]


def test_reading_a_file_takes_the_memory_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a.wav\n")
    tracemalloc.start()
    try:
        assert addresses.read(str(tmp_path / "list.txt"), 1 << 28) == b"a.wav\n"
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    with pytest.raises(addresses.StoreError, match="more than 5 bytes"):
        addresses.read(str(tmp_path / "list.txt"), 5)


def test_a_file_is_fetched_unless_it_is_too_large(folder: str, tmp_path: Path) -> None:
    put(f"{folder}/a.wav", "12345")

    addresses.fetch(f"{folder}/a.wav", tmp_path / "copy", 5)

    assert (tmp_path / "copy").read_text() == "12345"
    with pytest.raises(SongError, match="raise --most-gb"):
        addresses.fetch(f"{folder}/a.wav", tmp_path / "copy", 4)
    with pytest.raises(SongError, match="no file"):
        addresses.fetch(f"{folder}/b.wav", tmp_path / "copy", 4)


def test_addresses_of_this_machine_become_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")

    assert checked("a/../b/") == checked("file:///b") == "/b"
    assert checked("s3://bucket/a/") == "s3://bucket/a"


def test_an_unknown_protocol_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match="nonsense://"):
        list(addresses.files("nonsense://a"))


def test_a_malformed_server_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match="cannot use the address"):
        addresses.checked("s3://[music/a.wav")


def test_a_folder_that_cannot_be_listed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "album").mkdir()
    (tmp_path / "a.wav").write_text("")
    scandir = os.scandir

    def refusing(path: str) -> object:
        if Path(path).name == "album":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)

    with pytest.raises(addresses.StoreError, match=r"album' \(Permission denied\)"):
        list(addresses.files(str(tmp_path)))


def test_links_to_nothing_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.wav").symlink_to(tmp_path / "gone.wav")

    assert list(addresses.files(str(tmp_path))) == []


@pytest.mark.parametrize("listed", [False, True])
def test_a_second_slash_in_a_bucket_loses_no_song(bucket: str, listed: bool) -> None:
    system = fsspec.filesystem("memory")
    system.pipe_file("/bucket/in/a//b.wav", b"1")
    system.pipe_file("/bucket/list.txt", f"{bucket}/in/a//b.wav\n".encode())

    found = catalogue.songs(f"{bucket}/list.txt" if listed else f"{bucket}/in", SUFFIXES)

    assert [one.address for one in found] == [f"{bucket}/in/a//b.wav"]


def test_a_signed_address_is_refused_and_not_quoted() -> None:
    with pytest.raises(ConfigError, match="without a query") as caught:
        checked("https://host/a.wav?signature=secret")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "\tname\n", "an address on each line"),
        ("a.csv", "address\n" + 200_000 * "x", "after line 1"),
    ],
)
def test_a_line_that_is_no_song_is_one_sentence(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)

    with pytest.raises(ConfigError, match=message):
        catalogue.songs(str(tmp_path / name), SUFFIXES)
