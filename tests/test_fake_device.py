"""Every network, separating and training, on a device whose tensors do not mix with the CPU's."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

REFUSED = {
    "constant": "RuntimeError: aten::mul got a tensor (2,) of the cpu",
    "double": "TypeError: the device has no torch.float64",
}
"""What a GPU, or Apple's GPU, refuses."""


@pytest.mark.slow
@pytest.mark.process
def test_all_networks_and_training_give_the_same_on_a_device() -> None:
    # Other precisions run the same lines: python -m tests.on_fake_device fp32 fp16
    command = [sys.executable, "-m", "tests.on_fake_device", "single", "bf16"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert {name: error for name, error in found.items() if error} == REFUSED
    assert len(found) >= 50, "separators in two precisions, networks, domains and losses"
