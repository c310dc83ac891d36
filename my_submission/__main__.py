"""The commands of :mod:`demixing.cli` under their first name: ``python -m my_submission``."""

import signal
import sys

from demixing.cli.main import main

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up for that, too
    sys.exit(main())
