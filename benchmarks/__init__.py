"""Speed and memory, measured side by side with others on this machine; ``python -m benchmarks``."""

import my_submission  # noqa: F401  before torch: it says how idle threads wait
