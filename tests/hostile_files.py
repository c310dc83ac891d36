"""Small files of weights that would cost gigabytes or hours, or do harm, if they were believed."""

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

from tests.onnx_graphs import field, varint

GIGABYTE = 1 << 30
HALF = GIGABYTE // 2
"""Contents of bombs."""
DOUBLINGS = 40
"""Steps that each refer twice to the one before: 1 TB if they are followed one by one."""

HUGE = "1e1000000000"
"""A fraction of this has a billion digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """A file.

    Attributes:
        name: says what is wrong with it.
        formats: of readers that would get far with it.
        make: returns its contents.
        large: whether making it takes gigabytes or seconds.
    """

    name: str
    formats: tuple[str, ...]
    make: Callable[[], bytes]
    large: bool = False


# Pickles, opcode by opcode


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def integer(value: int) -> bytes:
    data = pickle.encode_long(value)
    return b"\x8a" + bytes([len(data)]) + data


def name(full: str) -> bytes:
    module, _, last = full.rpartition(".")
    return f"c{module}\n{last}\n".encode()


def storage(count: int, key: str = "0", kind: str = "Float") -> bytes:
    parts = [text("storage"), name(f"torch.{kind}Storage"), text(key), text("cpu"), integer(count)]
    return b"(" + b"".join(parts) + b"tQ"


def integers(*values: int) -> bytes:
    return b"(" + b"".join(map(integer, values)) + b"t"


def tensor(of: bytes, size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    rest = [integer(offset), integers(*size), integers(*stride), b"\x89", b"}"]
    return name("torch._utils._rebuild_tensor_v2") + b"(" + of + b"".join(rest) + b"tR"


def kept(contents: bytes, index: int) -> bytes:
    """An object that is remembered under an index."""
    return contents + b"q" + bytes([index])


def again(index: int) -> bytes:
    return b"h" + bytes([index])


def doubled() -> bytes:
    """A list that contains a list twice, and so on."""
    made = b"]"
    for level in range(DOUBLINGS):
        made = b"](" + kept(made, level) + again(level) + b"e"
    return made


def doubled_tuple() -> bytes:
    """The same with tuples, which may be keys."""
    made = b")"
    for level in range(DOUBLINGS):
        made = kept(made, level) + again(level) + b"\x86"
    return made


def table(*pairs: tuple[bytes, bytes]) -> bytes:
    return b"}(" + b"".join(key + value for key, value in pairs) + b"u"


def one_tensor(count: int = 4) -> bytes:
    return tensor(storage(count), (count,), (1,))


def pickled(contents: bytes) -> bytes:
    return b"\x80\x02" + contents + b"."


def zipped(contents: bytes, storages: dict[str, bytes], *, compressed: bool = False) -> bytes:
    """A torch archive."""
    written = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(written, "w", kind) as archive:
        archive.writestr("archive/data.pkl", pickled(contents))
        archive.writestr("archive/byteorder", "little")
        for key, data in storages.items():
            with archive.open(f"archive/data/{key}", "w", force_zip64=True) as file:
                file.write(data)
        archive.writestr("archive/version", "3\n")
    return written.getvalue()


def legacy(contents: bytes, keys: list[str], storages: bytes) -> bytes:
    """A file of before torch 1.6."""
    parts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    begin = b"".join(pickle.dumps(part, 2) for part in parts)
    return begin + pickled(contents) + pickle.dumps(keys, 2) + storages


def package(kwargs: bytes, state: bytes | None = None) -> bytes:
    """What Demucs v3 and v4 write."""
    return table(
        (text("klass"), name("demucs.htdemucs.HTDemucs")),
        (text("args"), b")"),
        (text("kwargs"), kwargs),
        (text("state"), state or table((text("weight"), one_tensor()))),
    )


def tuple_of(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def demucs_v1(positional: bytes = b")", named: bytes = b"}", state: bytes | None = None) -> bytes:
    state = state or table((text("weight"), one_tensor()))
    return legacy(
        tuple_of(name("demucs.model.Demucs"), positional, named, state),
        ["0"],
        struct.pack("<q", 4) + bytes(16),
    )


def lightning(state: bytes) -> bytes:
    return table((text("state_dict"), table((text("model.weight"), state))))


FOUR = {"0": bytes(16)}


def fraction() -> bytes:
    return name("fractions.Fraction") + text(HUGE) + b"\x85R"


def script_of_scripts() -> bytes:
    """Modules that each contain the one before twice."""
    module = name("__torch__.Module") + b")\x81"
    made = module + table((text("weight"), one_tensor())) + b"b"
    for level in range(DOUBLINGS):
        parts = [(text("a"), kept(made, level)), (text("b"), again(level))]
        made = module + table(*parts) + b"b"
    return made


def grown_tensor() -> bytes:
    """A tensor that asks for another storage after it was made."""
    state = tuple_of(storage(4), integer(0), integers(1500), integers(1))
    return tensor(storage(4), (4,), (1,)) + state + b"b"


# Other containers


def of_json(**metadata: str) -> bytes:
    header: dict[str, object] = {"__metadata__": metadata}
    header["a"] = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    written = json.dumps(header).encode()
    return struct.pack("<Q", len(written)) + written + bytes(4)


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def entry(shape: list[int], offset: int, size: int) -> bytes:
    """A variable in a TensorFlow index."""
    dimensions = b"".join(field(2, field(1, length)) for length in shape)
    return field(1, 1) + field(2, dimensions) + field(4, offset) + field(5, size)


def index(entries: list[tuple[int, bytes, bytes]]) -> bytes:
    """A TensorFlow index: shared length, rest of the key, value."""
    rows = b"".join(
        varint(shared) + varint(len(more)) + varint(len(value)) + more + value
        for shared, more, value in entries
    )
    block = rows + struct.pack("<II", 0, 1)
    handle = varint(0) + varint(len(block))
    top = varint(0) + varint(1) + varint(len(handle)) + b"z" + handle + struct.pack("<II", 0, 1)
    at = len(block) + 5
    footer = varint(0) + varint(0) + varint(at) + varint(len(top))
    magic = struct.pack("<Q", 0xDB4775248B80FB57)
    return block + bytes(5) + top + bytes(5) + footer.ljust(40, b"\0") + magic


def tar_of(members: dict[str, bytes], compression: str = "gz") -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode=f"w:{compression}") as archive:  # type: ignore[call-overload]
        for member, data in members.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return written.getvalue()


def tar_of_links(kind: bytes, target: str) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as archive:
        info = tarfile.TarInfo("a/net.onnx")
        info.type, info.linkname = kind, target
        archive.addfile(info)
    return written.getvalue()


def sparse_tar(member: str, size: int) -> bytes:
    """A member that is a hole of any size, in GNU's way of pax headers."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo(member)
        content = f"1\n{size}\n0\n".encode().ljust(512, b"\0")
        info.size = len(content)
        info.pax_headers = {
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.realsize": str(size),
            "GNU.sparse.name": member,
        }
        archive.addfile(info, io.BytesIO(content))
    return written.getvalue()


def spleeter(index_: bytes, data: bytes) -> bytes:
    return tar_of({"a/model.index": index_, "a/model.data-00000-of-00001": data})


def shared_numbers() -> bytes:
    size = 4 << 20
    value = entry([size // 4], 0, size)
    return spleeter(index([(0, b"k%06d" % i, value) for i in range(20_000)]), bytes(size))


def long_keys() -> bytes:
    size = 1 << 20
    value = entry([1], 0, 4)
    rest = [(size, b"%06d" % i, value) for i in range(10_000)]
    return spleeter(index([(0, b"k" * size, value), *rest]), bytes(4))


def node(kind: bytes, inputs: list[str], output: str, attributes: bytes = b"") -> bytes:
    read = b"".join(field(1, one.encode()) for one in inputs)
    return field(1, read + field(2, output.encode()) + field(4, kind) + attributes)


def value(tag: int, key: str) -> bytes:
    """An input or output of a graph, of floats of any shape."""
    return field(tag, field(1, key.encode()) + field(2, field(1, field(1, 1))))


def model(nodes: bytes, output: str, tensors: bytes = b"") -> bytes:
    graph = nodes + field(2, b"g") + tensors + value(11, "x") + value(12, output)
    return field(1, 8) + field(7, graph) + field(8, field(2, 17))


def constant(key: bytes, kind: int, data: bytes, count: int) -> bytes:
    return field(5, field(1, count) + field(2, kind) + field(8, key) + field(9, data))


def axis(at: int) -> bytes:
    return field(5, field(1, b"axis") + field(3, at) + field(20, 2))


def concat_doubling() -> bytes:
    nodes = (node(b"Concat", [f"v{i}"] * 2, f"v{i + 1}", axis(0)) for i in range(36))
    return model(b"".join(nodes), "v36", constant(b"v0", 1, bytes(4096), 1024))


def huge_constant() -> bytes:
    shape = constant(b"s", 7, struct.pack("<q", 8 * GIGABYTE), 1)
    return model(node(b"ConstantOfShape", ["s"], "y"), "y", shape)


def nested_if() -> bytes:
    """Branches that each contain two."""
    graph = node(b"Identity", ["x"], "y") + field(2, b"g") + value(12, "y")
    for _ in range(14):
        branches = (
            field(5, field(1, key) + field(6, graph) + field(20, 5))
            for key in (b"then_branch", b"else_branch")
        )
        inner = node(b"If", ["c"], "y", b"".join(branches))
        graph = inner + field(2, b"g") + value(12, "y")
    condition = field(11, field(1, b"c") + field(2, field(1, field(1, 9) + field(2, b""))))
    return field(1, 8) + field(7, graph + condition + value(11, "x")) + field(8, field(2, 17))


def many_nodes(count: int = 200_000) -> bytes:
    nodes = (node(b"Identity", [f"v{i}" if i else "x"], f"v{i + 1}") for i in range(count))
    return model(b"".join(nodes), f"v{count}")


def many_fields() -> bytes:
    return field(1, 8) + field(7, bytes([0x0A, 0]) * 4_000_000)


def aliased(count: int) -> bytes:
    """Many transposed views of one storage of 4 MB."""
    first = kept(tensor(storage(1 << 20), (1024, 1024), (1, 1024)), 1)
    views = ((text(f"w{i}"), again(1) if i else first) for i in range(count))
    return zipped(table(*views), {"0": bytes(4 << 20)})


def shared_arrays() -> bytes:
    """Many NumPy arrays with the bytes of one."""
    raw = bytes(1 << 20)
    data = name("_codecs.encode") + tuple_of(text(raw.decode()), text("latin1")) + b"R"
    make = name("numpy.core.multiarray._reconstruct")
    empty = make + tuple_of(name("numpy.ndarray"), integers(0), b"U\x01b") + b"R"
    dtype = name("numpy.dtype") + tuple_of(text("f4"), b"\x89", b"\x88") + b"R"
    dtype += tuple_of(b"K\x03", text("<"), b"NNN", integer(-1), integer(-1), b"K\x00") + b"b"
    size = integers(len(raw) // 4)
    first = tuple_of(b"K\x01", size, kept(dtype, 1), b"\x89", kept(data, 2))
    more = tuple_of(b"K\x01", size, again(1), b"\x89", again(2))
    arrays = ((text(f"w{i}"), empty + (more if i else first) + b"b") for i in range(5_000))
    return zipped(table(*arrays), {})


def swallowed() -> bytes:
    return zipped(lightning(one_tensor()) + b"r" + struct.pack("<I", 300_000_000), FOUR)


def large_bytearray() -> bytes:
    made = name("__builtin__.bytearray") + integer(3_000_000_000) + b"\x85R"
    return zipped(table((text("weight"), one_tensor()), (text("b"), made)), FOUR)


def large_metric() -> bytes:
    """Arrays of NumPy beside the network, of impossible sizes."""
    core = "numpy._core.multiarray"
    size = integers(1 << 35)
    empty = name(f"{core}._reconstruct") + tuple_of(name("numpy.ndarray"), size, text("b")) + b"R"
    kind = name("numpy.dtype") + tuple_of(text("V34359738368"), b"\x89", b"\x88") + b"R"
    filled = empty + tuple_of(b"K\x01", size, kind, b"\x89", text("x")) + b"b"
    return zipped(
        table(
            (text("best_metric"), name(f"{core}.scalar") + tuple_of(kind, text("x")) + b"R"),
            (text("all_metrics"), filled),
            (text("model_state_dict"), table((text("weight"), one_tensor()))),
        ),
        FOUR,
    )


def bomb(format_: str) -> bytes:
    count = HALF // 4
    made = tensor(storage(count), (count,), (1,))
    if format_ == "lightning":
        contents = lightning(made)
    elif format_ == "torchscript":
        contents = name("__torch__.M") + b")\x81" + table((text("weight"), made)) + b"b"
    else:
        contents = table((text("weight"), made))
    return zipped(contents, {"0": bytes(HALF)}, compressed=True)


def gzip_bomb() -> bytes:
    count = HALF // 4
    state = table((text("weight"), tensor(storage(count), (count,), (1,))))
    contents = tuple_of(name("demucs.model.Demucs"), b")", b"}", state)
    return gzip.compress(legacy(contents, ["0"], struct.pack("<q", count) + bytes(4 * count)), 1)


def of_line() -> bytes:
    return gzip.compress(b"\x80\x02" + b"c" + b"a" * HALF, 1)


ATTACKS = [
    Attack(
        name="fraction in a pickle",
        formats=("demucs_package",),
        make=lambda: zipped(package(table((text("segment"), fraction()))), FOUR),
    ),
    Attack(
        name="fraction in metadata",
        formats=("safetensors",),
        make=lambda: of_json(network="", arguments=json.dumps({"a": {"fraction": HUGE}})),
    ),
    Attack(
        name="fraction in metadata of Demucs",
        formats=("demucs_safetensors",),
        make=lambda: of_json(
            klass="demucs.htdemucs.HTDemucs",
            kwargs=json.dumps(
                {"a": {"_type": "fraction", "numerator": "9" * 4299, "denominator": "7"}}
            ),
        ),
    ),
    Attack(
        name="deep metadata",
        formats=("safetensors",),
        make=lambda: of_json(network="", arguments=nested(900)),
    ),
    Attack(
        name="arguments that double",
        formats=("demucs_package",),
        make=lambda: zipped(package(table((text("segment"), doubled()))), FOUR),
    ),
    Attack(
        name="positional arguments that double",
        formats=("demucs_v1",),
        make=lambda: demucs_v1(tuple_of(doubled(), doubled())),
    ),
    Attack(
        name="named arguments that double",
        formats=("demucs_v1",),
        make=lambda: demucs_v1(named=doubled()),
    ),
    Attack(
        name="keys that double",
        formats=("state_dict", "lightning", "demucs_v1"),
        make=lambda: zipped(table((doubled_tuple(), b"N"), (text("weight"), one_tensor())), FOUR),
    ),
    Attack(
        name="a storage key that doubles",
        formats=("state_dict", "lightning"),
        make=lambda: zipped(
            lightning(
                tensor(
                    b"("
                    + text("storage")
                    + name("torch.FloatStorage")
                    + doubled()
                    + text("cpu")
                    + integer(4)
                    + b"tQ",
                    (4,),
                    (1,),
                )
            ),
            FOUR,
        ),
    ),
    Attack(
        name="modules that double",
        formats=("torchscript",),
        make=lambda: zipped(script_of_scripts(), FOUR),
    ),
    Attack(
        name="a long key",
        large=True,
        formats=("lightning", "state_dict", "step_and_model", "demucs_package"),
        make=lambda: zipped(table((text("k" * 6_000_000), b"N")), FOUR),
    ),
    Attack(
        name="stride 0 in Lightning",
        formats=("lightning",),
        make=lambda: zipped(lightning(tensor(storage(4), (GIGABYTE,), (0,))), FOUR),
    ),
    Attack(
        name="stride 0 in a package",
        formats=("demucs_package",),
        make=lambda: zipped(
            package(b"}", table((text("w"), tensor(storage(4), (GIGABYTE,), (0,))))), FOUR
        ),
    ),
    Attack(
        name="stride 0 in a state dict",
        formats=("state_dict",),
        make=lambda: zipped(table((text("weight"), tensor(storage(4), (GIGABYTE,), (0,)))), FOUR),
    ),
    Attack(
        name="stride 0 in an old file",
        formats=("demucs_v1",),
        make=lambda: demucs_v1(
            state=table((text("weight"), tensor(storage(4), (GIGABYTE,), (0,))))
        ),
    ),
    Attack(
        name="stride 0 in a script",
        formats=("torchscript",),
        make=lambda: zipped(
            name("__torch__.M")
            + b")\x81"
            + table((text("weight"), tensor(storage(4), (GIGABYTE,), (0,))))
            + b"b",
            FOUR,
        ),
    ),
    Attack(name="aliased tensors", formats=("state_dict",), make=lambda: aliased(1_000)),
    Attack(name="aliased arrays", large=True, formats=("numpy_dict",), make=shared_arrays),
    Attack(name="a large index of the memo", formats=("lightning", "torchscript"), make=swallowed),
    Attack(name="a large bytearray", formats=("state_dict",), make=large_bytearray),
    Attack(name="a metric of 32 GB", formats=("own_file",), make=large_metric),
    Attack(
        name="BUILD on a tensor",
        formats=("demucs_v1",),
        make=lambda: demucs_v1(state=table((text("weight"), grown_tensor()))),
    ),
    Attack(name="a zip bomb", large=True, formats=("state_dict",), make=lambda: bomb("state_dict")),
    Attack(
        name="a zip bomb of Lightning",
        large=True,
        formats=("lightning",),
        make=lambda: bomb("lightning"),
    ),
    Attack(
        name="a zip bomb of TorchScript",
        large=True,
        formats=("torchscript",),
        make=lambda: bomb("torchscript"),
    ),
    Attack(name="a gzip bomb", large=True, formats=("demucs_v1",), make=gzip_bomb),
    Attack(name="a line without end", large=True, formats=("demucs_v1",), make=of_line),
    Attack(
        name="a tar bomb",
        large=True,
        formats=("spleeter_archive",),
        make=lambda: spleeter(index([(0, b"k", entry([1], 0, 4))]), bytes(HALF)),
    ),
    Attack(
        name="a sparse member",
        formats=("spleeter_archive",),
        make=lambda: sparse_tar("a/model.index", 3 * GIGABYTE),
    ),
    Attack(
        name="aliased numbers of TensorFlow",
        large=True,
        formats=("spleeter_archive",),
        make=shared_numbers,
    ),
    Attack(name="long keys of TensorFlow", formats=("spleeter_archive",), make=long_keys),
    Attack(name="Concat that doubles", formats=("onnx",), make=concat_doubling),
    Attack(name="a constant of 32 GB", formats=("onnx",), make=huge_constant),
    Attack(name="nested If", formats=("onnx",), make=nested_if),
    Attack(name="200,000 nodes", large=True, formats=("onnx",), make=many_nodes),
    Attack(
        name="4,000,000 fields",
        large=True,
        formats=("onnx", "onnx_tensors", "htdemucs_onnx"),
        make=many_fields,
    ),
    Attack(
        name="a link",
        formats=("onnx_archive",),
        make=lambda: tar_of_links(tarfile.SYMTYPE, "nowhere.onnx"),
    ),
    Attack(
        name="a link to itself",
        formats=("onnx_archive",),
        make=lambda: tar_of_links(tarfile.SYMTYPE, "net.onnx"),
    ),
    Attack(
        name="a hard link to itself",
        formats=("onnx_archive",),
        make=lambda: tar_of_links(tarfile.LNKTYPE, "a/net.onnx"),
    ),
    Attack(
        name="a sparse model",
        formats=("onnx_archive",),
        make=lambda: sparse_tar("a/net.onnx", 3 * GIGABYTE),
    ),
    Attack(
        name="a large model of zeros",
        large=True,
        formats=("onnx_archive",),
        make=lambda: tar_of({"a/net.onnx": bytes(HALF)}),
    ),
]
