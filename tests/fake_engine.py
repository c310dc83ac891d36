"""Stand-in for docker: logs its arguments, and runs the harness without a container.

python fake_engine.py LOG SUBMISSION image|run|inspect|kill|rm ...
"""

import json
import os
import signal
import sys
from pathlib import Path


def main() -> int:
    log, submission, *words = sys.argv[1:]
    with Path(log).open("a", encoding="utf-8") as file:
        file.write(json.dumps(words) + "\n")
    if words[0] == "image":
        sys.stderr.write("Error: no such image\n" if words[-1] == "missing" else "")
        return int(words[-1] == "missing")
    pid = Path(f"{log}.pid")
    if words[0] == "kill":
        os.killpg(int(pid.read_text()), signal.SIGKILL)
    if words[0] != "run":
        return 1
    pid.write_text(str(os.getpid()))  # also the id of its session, which the grader starts
    options = [word for word in words if word.startswith("--")]
    command = words[words.index("python") :]
    folders = {}
    for option in options:
        name, _, value = option.partition("=")
        if name == "--volume":
            source, target, *_ = value.split(":")
            folders[target] = source
    folders["/shared"] = str(Path(folders["/shared/predictions"]).parent)
    for option in options:
        name, _, value = option.partition("=")
        if name == "--env":
            key, _, text = value.partition("=")
            for target, source in folders.items():
                text = text.replace(target, source) if text.startswith(target) else text
            os.environ[key] = text
    os.chdir(submission)
    harness = command[1].replace("/grader", folders["/grader"])
    return os.spawnv(os.P_WAIT, sys.executable, [sys.executable, harness, *command[2:]])


if __name__ == "__main__":
    sys.exit(main())
