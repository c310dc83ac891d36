"""``python -m my_submission``: the original name of the command ``demixing``."""

from demixing.cli.main import command

if __name__ == "__main__":
    command()
