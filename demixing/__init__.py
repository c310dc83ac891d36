"""Separate music and film sound into stems, alone or in a contest."""

import os

# Read by OpenMP when torch is loaded, which is after this. Threads that wait by spinning slow two
# processes on the same two cores down seven times, and gain nothing when there is only one:
# docs/decisions/002-precision-and-speed.md.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Read by onnxruntime when it is imported: otherwise it looks up a host for telemetry and writes
# into the user's cache.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
