#!/usr/bin/env bash
# The name of AIcrowd's own script: ./submit.sh NAME is python submit.py NAME, with the same options.
set -euo pipefail
cd "$(dirname "$0")"
python=.venv/bin/python
if [[ ! -x $python ]]; then python=python3; fi
exec "$python" submit.py "$@"
