"""Reads pickles safely: a file can only use names from a fixed list, and only so much of all else.

A pickle is a program for a small machine. It names functions and classes, which are called when it
is loaded. Here, each name is looked up in a list of harmless stand-ins, and any other name is an
error. Tensors become :class:`Numbers`, which say where the numbers are; nothing is allocated for
them before all of them are known.

Python's own unpickler in C allocates what a file asks for. So this is the one in Python, with
limits: the number of steps, the bytes that are read, and what may be the key of a dict.
"""

import pickle
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import IO, Any, ClassVar

import torch

MOST_STEPS = 2_000_000
"""Steps of a pickle: 2 s, and 450 MB if each makes a set. A file of 913 MB has 32,000."""

MOST_PICKLE_BYTES = 1 << 28
"""Length of a pickle. It has the numbers only in files of NumPy arrays."""

MOST_LINE_BYTES = 1 << 16

LONG_TEXT_BYTES = 1 << 18
"""From this length on, text is not decoded; longer names and values are refused anyway."""

MOST_KEY_BITS = 60
"""Larger integers may all have the same hash, so that a dict of them takes hours."""

MOST_DIMENSIONS = 16

STORAGES = {
    f"torch.{kind}Storage": dtype
    for kind, dtype in {
        "Float": torch.float32,
        "Half": torch.float16,
        "BFloat16": torch.bfloat16,
        "Double": torch.float64,
        "Long": torch.int64,
        "Int": torch.int32,
        "Short": torch.int16,
        "Char": torch.int8,
        "Byte": torch.uint8,
        "Bool": torch.bool,
    }.items()
}
"""Stand-ins for torch's storage classes, with their dtypes."""

OPCODES = (
    "PROTO FRAME STOP MARK POP POP_MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG "
    "LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 "
    "UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 "
    "EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT DICT SETITEM SETITEMS EMPTY_SET ADDITEMS FROZENSET "
    "GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL REDUCE NEWOBJ "
    "NEWOBJ_EX BUILD BINPERSID"
)
"""What Python's pickler writes, without byte arrays, extensions, and classes of Python 2."""


class StandIn:
    """Stands for an object of a class that a file names; by default it cannot be changed."""

    __slots__ = ()

    def build(self, state: object) -> None:
        """Take the attributes that the file has for the object.

        Raises:
            UnpicklingError: it must not have any.
        """
        raise pickle.UnpicklingError("it changes an object that must stay as it is")


class Ignored(StandIn):
    """Stands for classes and functions that do not matter; accepts everything, keeps nothing.

    A pickle may call it, build an instance, set its state, or use it as a list or a dict.
    """

    __slots__ = ()

    def __new__(cls, *_: object, **__: object) -> "Ignored":
        """Take the arguments of any class or function."""
        return super().__new__(cls)

    def __call__(self, *_: object, **__: object) -> "Ignored":
        """Take the arguments of any function."""
        return self

    def __setitem__(self, _: object, __: object) -> None:
        """Drop an item of a dict."""

    def build(self, state: object) -> None:
        """Drop the attributes."""

    def append(self, _: object) -> None:
        """Drop an item of a list."""

    def add(self, _: object) -> None:
        """Drop an item of a set."""


@dataclass(frozen=True, slots=True, eq=False)
class Storage:
    """Numbers in a file.

    Attributes:
        key: name of the storage.
        dtype: of the numbers.
        count: of the numbers.
    """

    key: str
    dtype: torch.dtype
    count: int

    @property
    def size_bytes(self) -> int:
        """Size of the numbers."""
        return self.count * self.dtype.itemsize


@dataclass(frozen=True, slots=True, eq=False)
class Numbers(StandIn):
    """A tensor that is not read yet: a view of a storage, as in :meth:`torch.Tensor.as_strided`."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False, repr=False)  # a message may quote it
class LongText(StandIn):
    """Text of at least :data:`LONG_TEXT_BYTES`. Old pickles have bytes as text.

    Attributes:
        utf8: the text, not checked.
    """

    utf8: bytes


Admit = Callable[[str], object]
"""Returns the stand-in for a full name, or None to reject the file."""


class Restricted(pickle._Unpickler):
    """Unpickles tensors, plain values, and names that a function allows."""

    stack: list[Any]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]

    def __init__(
        self, file: IO[bytes], *, admit: Admit, storage: Callable[[Storage], Storage]
    ) -> None:
        """Create an unpickler.

        Args:
            file: at the start of the pickle.
            admit: returns the stand-in for a full name, or None to reject the file.
            storage: called with each storage that a tensor is a view of; returns the one that was
                first named so.
        """
        super().__init__(_Limited(file))
        self._admit = admit
        self._storage = storage
        self._left = MOST_STEPS

    def spend(self, steps: int) -> None:
        """Count steps.

        Raises:
            UnpicklingError: there were too many.
        """
        self._left -= steps
        if self._left < 0:
            raise pickle.UnpicklingError("it has too many values")

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a name: a pickle cannot change any of these."""
        full = f"{module}.{name}"
        found = TENSORS.get(full) or STORAGES.get(full) or self._admit(full)
        if found is None:
            raise pickle.UnpicklingError(f"it needs {full[:100]!r}")
        return found

    def persistent_load(self, pid: object) -> Any:
        """Return objects stored outside the pickle: storages, and names of classes.

        Old files store a class with its source code, which is ignored.
        """
        match pid:
            case ("module", named, *_):
                return named
            case ("storage", torch.dtype() as dtype, str(key), _, int(count), *view):
                if len(view) > 1 or (view and view[0] is not None):
                    raise pickle.UnpicklingError(
                        "it has views of storages, which only very old files have"
                    )
                if not 0 <= count < 1 << 48:
                    raise pickle.UnpicklingError("a storage has an impossible size")
                return self._storage(Storage(key, dtype, count))
        raise pickle.UnpicklingError("it refers to an external object that is not a storage")

    # Steps that are done in another way

    def _text(self) -> None:
        """Read text, and decode it if it is short."""
        (length,) = struct.unpack("<I", self.read(4))
        utf8 = self.read(length)
        long = length >= LONG_TEXT_BYTES
        self.append(LongText(utf8) if long else str(utf8, "utf-8", "surrogatepass"))

    def _reduce(self) -> None:
        """Call a stand-in."""
        arguments = self.stack.pop()
        function = self.stack[-1]
        if not isinstance(arguments, tuple) or not callable(function):
            raise pickle.UnpicklingError("it calls something that is not a function")
        self.spend(sum(map(_weight, arguments)))
        self.stack[-1] = function(*arguments)

    def _new(self) -> None:
        """Make an object of a class."""
        arguments = self.stack.pop()
        made = self.stack.pop()
        if not isinstance(arguments, tuple) or not isinstance(made, type):
            raise pickle.UnpicklingError("it makes an object of something that is not a class")
        self.append(made.__new__(made, *arguments))

    def _new_with_keywords(self) -> None:
        """Make an object of a class; keywords are dropped."""
        self.stack.pop()
        self._new()

    def _build(self) -> None:
        """Set the attributes of an object."""
        state = self.stack.pop()
        made = self.stack[-1]
        if isinstance(made, StandIn):
            made.build(state)
        elif type(made) is not dict:  # attributes of an OrderedDict are dropped
            raise pickle.UnpicklingError("it changes an object that must stay as it is")

    def _dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._set(items)

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def _set_items(self) -> None:
        self._set(self.pop_mark())

    def _set(self, items: list[Any]) -> None:
        """Set items of the dict on the stack: keys and values in turn."""
        target = self.stack[-1]
        if not isinstance(target, dict | Ignored):
            raise pickle.UnpicklingError("it sets items of something that is not a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[checked_key(key)] = value

    def _add_items(self) -> None:
        items = self.pop_mark()
        target = self.stack[-1]
        if not isinstance(target, set | Ignored):
            raise pickle.UnpicklingError("it adds to something that is not a set")
        for item in items:
            target.add(checked_key(item))

    def _append(self) -> None:
        item = self.stack.pop()
        self._extend([item])

    def _append_items(self) -> None:
        self._extend(self.pop_mark())

    def _extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Ignored):
            raise pickle.UnpicklingError("it appends to something that is not a list")

    def _frozen_set(self) -> None:
        self.append(frozenset(map(checked_key, self.pop_mark())))

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {}


def checked_key(key: Any) -> Any:
    """Return what may be the key of a dict: its hash must be quick, and not chosen by the file.

    Raises:
        UnpicklingError: it is not.
    """
    parts = key if isinstance(key, tuple) else (key,)
    for part in parts:
        number = isinstance(part, int) and part.bit_length() <= MOST_KEY_BITS
        if not (number or part is None or isinstance(part, str | bytes | StandIn | type)):
            raise pickle.UnpicklingError(f"a {type(part).__name__} is the key of a dict")
    return key


def _weight(value: object) -> int:
    """How many steps an argument counts for: it may be copied."""
    if isinstance(value, LongText):
        value = value.utf8
    if isinstance(value, str | bytes):
        return len(value) >> 8
    return len(value) if isinstance(value, list | tuple | dict | set | frozenset) else 1


def _counted(step: Callable[[Any], None]) -> Callable[[Any], None]:
    """A step that is counted."""

    def counted(machine: Restricted) -> None:
        machine.spend(1)
        step(machine)

    return counted


def _unknown(_: Restricted) -> None:
    raise pickle.UnpicklingError("it has a step that no file of tensors needs")


OWN = {
    pickle.BINUNICODE: Restricted._text,
    pickle.REDUCE: Restricted._reduce,
    pickle.NEWOBJ: Restricted._new,
    pickle.NEWOBJ_EX: Restricted._new_with_keywords,
    pickle.BUILD: Restricted._build,
    pickle.DICT: Restricted._dict,
    pickle.SETITEM: Restricted._set_item,
    pickle.SETITEMS: Restricted._set_items,
    pickle.ADDITEMS: Restricted._add_items,
    pickle.APPEND: Restricted._append,
    pickle.APPENDS: Restricted._append_items,
    pickle.FROZENSET: Restricted._frozen_set,
}
Restricted.dispatch = dict.fromkeys(range(256), _unknown) | {
    code[0]: _counted(OWN.get(code) or pickle._Unpickler.dispatch[code[0]])
    for code in (getattr(pickle, name) for name in OPCODES.split())
}


class _Limited:
    """A pickle's stream: what is read is bounded."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = MOST_PICKLE_BYTES

    def read(self, size: int) -> bytes:
        """Read a number of bytes."""
        self._left -= size
        if self._left < 0:
            raise pickle.UnpicklingError("it is too long")
        return self._file.read(size)

    def readline(self) -> bytes:
        """Read a line."""
        line = self._file.readline(MOST_LINE_BYTES)
        self._left -= len(line)
        if self._left < 0 or len(line) == MOST_LINE_BYTES:
            raise pickle.UnpicklingError("it is too long")
        return line


def _rebuilt(storage: object, offset: object, size: object, stride: object, *_: object) -> Numbers:
    """Stand-in for torch's function that makes a tensor."""
    if not isinstance(storage, Storage) or type(offset) is not int:
        raise pickle.UnpicklingError("it makes a tensor from something that is not a storage")
    sizes, strides = _whole(size), _whole(stride)
    last = offset + sum((one - 1) * by for one, by in zip(sizes, strides, strict=True))
    if offset < 0 or (0 not in sizes and last >= storage.count):
        raise pickle.UnpicklingError("a tensor is larger than its storage")
    return Numbers(storage, offset, sizes, strides)


def _whole(sizes: object) -> tuple[int, ...]:
    """Check the sizes or strides of a tensor."""
    if not isinstance(sizes, tuple | list) or len(sizes) > MOST_DIMENSIONS:
        raise pickle.UnpicklingError("a tensor has no valid shape")
    if not all(type(one) is int and 0 <= one < 1 << 48 for one in sizes):
        raise pickle.UnpicklingError("a tensor has no valid shape")
    return tuple(sizes)


def _parameter(numbers: object, *_: object) -> object:
    """Stand-in for torch's function that makes a parameter of a tensor."""
    return numbers


def _ordered(pairs: Iterable[Any] = ()) -> dict[Any, Any]:
    """Stand-in for OrderedDict."""
    return {checked_key(key): value for key, value in pairs}


TENSORS: dict[str, object] = {
    "torch._utils._rebuild_tensor_v2": _rebuilt,
    "torch._utils._rebuild_parameter": _parameter,
    "collections.OrderedDict": _ordered,
}
"""Names that files of tensors need."""
