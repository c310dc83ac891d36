"""Speed and memory of this project and of others on one machine: ``python -m benchmarks``."""

import my_submission  # noqa: F401  before torch: it says how idle threads wait
