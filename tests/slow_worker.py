"""The real child process, one member of which is built for an hour: ``slow_worker.py INDEX FD``."""

import sys
import time
from typing import Any

from my_submission import separators
from my_submission.process.worker import make_demixer, serve


def main() -> None:
    index = int(sys.argv[1])
    built: list[Any] = []
    build = separators.build

    def slowly(*given: Any) -> separators.Separator:
        if len(built) == index:
            time.sleep(3600)
        built.append(given)
        return build(*given)

    separators.build = slowly  # type: ignore[assignment]
    serve(make_demixer, int(sys.argv[2]))


if __name__ == "__main__":
    main()
