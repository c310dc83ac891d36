#!/usr/bin/env bash
# For those used to AIcrowd's: ./submit.sh NAME is python submit.py NAME, with the same options.
set -euo pipefail
cd "$(dirname "$0")"
python=.venv/bin/python
if [[ ! -x $python ]]; then python=python3; fi
exec "$python" submit.py "$@"
