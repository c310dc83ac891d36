"""A TorchScript archive, the format of Danna-Sep: only its tensors are read.

Such an archive is a zip file with programs in ``code/``, a pickle of the module's attributes in
``data.pkl``, and the numbers in ``data/``. torch.jit.load would compile the programs; here only
the pickle and the numbers are read.
"""

import pickle

from demixing.weights.bounds import MOST_TENSORS
from demixing.weights.readers import Contents
from demixing.weights.safe_unpickling import Numbers, StandIn
from demixing.weights.torch_file import TorchFile
from demixing.weights.weight_file import WeightFile

MOST_NAME = 1000
"""Characters of a name."""


class Script(StandIn):
    """Stand-in for all classes in the archive's programs; it keeps an object's attributes."""

    __slots__ = ("attributes",)

    attributes: dict[str, object]

    def __new__(cls) -> "Script":
        """Make one without attributes, which come later."""
        made = super().__new__(cls)
        made.attributes = {}
        return made

    def build(self, state: object) -> None:
        """Keep the attributes.

        Raises:
            UnpicklingError: they are not attributes.
        """
        if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
            raise pickle.UnpicklingError("an object has no valid attributes")
        self.attributes = state


def _same(value: object, *_: object) -> object:
    """Stand-in for torch's functions that set the type of a list."""
    return value


STAND_INS = {
    f"torch.jit._pickle.{name}": _same
    for name in (
        "build_intlist",
        "build_doublelist",
        "build_boollist",
        "build_tensorlist",
        "restore_type_tag",
    )
}
"""Names in archives besides their own classes."""


def _admit(name: str) -> object:
    """Return the stand-in for a name in an archive's pickle, or None."""
    return Script if name.startswith("__torch__.") else STAND_INS.get(name)


def read(file: WeightFile) -> Contents:
    """Read the tensors; names are paths through the modules, as in a state dict.

    Raises:
        CheckpointError: the file is not such an archive, or contains more than tensors.
    """
    torch_file = TorchFile(file, _admit, script=True)
    if not isinstance(torch_file.value, Script):
        raise pickle.UnpicklingError("it contains no module")
    return Contents(state=torch_file.state(_tensors(torch_file.value)))


def _tensors(module: Script) -> dict[str, Numbers]:
    """The tensors of a module and of its submodules, in the order of a state dict.

    Raises:
        UnpicklingError: modules contain each other, or the same ones too often.
    """
    found: dict[str, Numbers] = {}
    waiting: list[tuple[str, object]] = [("", module)]
    for _ in range(MOST_TENSORS):
        if not waiting:
            return found
        name, value = waiting.pop()
        if len(name) > MOST_NAME:
            break
        if isinstance(value, Numbers):
            found[name] = value
        elif isinstance(value, Script):
            prefix = f"{name}." if name else ""
            if len(waiting) + len(value.attributes) > MOST_TENSORS:
                break
            waiting += [(prefix + key, one) for key, one in [*value.attributes.items()][::-1]]
    raise pickle.UnpicklingError("it has too many modules")
