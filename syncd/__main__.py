"""``python -m syncd``."""

from syncd.cli.app import main

if __name__ == "__main__":  # not in a process that one of ours starts
    main()
