"""Speed and memory of this project and of others on one machine: ``python -m benchmarks``."""

import my_submission  # noqa: F401  before torch: it sets how idle threads wait
