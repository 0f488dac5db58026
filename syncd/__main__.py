"""The ``syncd`` command, and ``python -m syncd``."""

import gc

# What is loaded at a start is no garbage, and looking for some every 700 objects took a tenth of the start.
OBJECTS_BEFORE_A_LOOK = 20_000


def main() -> None:
    """Run the command."""
    gc.set_threshold(OBJECTS_BEFORE_A_LOOK)
    from syncd.cli.app import main as run  # noqa: PLC0415 - with that

    run()


if __name__ == "__main__":  # not in a process that one of ours starts
    main()
