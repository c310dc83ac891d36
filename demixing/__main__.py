"""``python -m demixing`` is the command ``demixing``."""

from demixing.cli.main import command

if __name__ == "__main__":
    command()
