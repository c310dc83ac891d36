"""Speed and memory, measured side by side with others on this machine; ``python -m benchmarks``."""
