"""Draws how costs grow with the number of files, from the record ``growth``; run by the environment with matplotlib."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

PLOTS = {
    "one-change": (
        "one changed file, ms",
        ["one change ms", "lakectl local -p 128 ms", "s5cmd sync ms", "rclone sync ms"],
    ),
    "thousand-changes": ("1,000 changed files, s", ["thousand changes s"]),
    "start": ("start, s", ["start s", "find s"]),
    "memory": ("memory, MiB", ["rest MiB", "first sync MiB", "peak MiB"]),
}


def main() -> None:
    record, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    mpl.rcParams["svg.hashsalt"] = "syncd"  # the same figures, the same file
    for name, (label, columns) in PLOTS.items():
        figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
        for column in columns:
            points = [
                (int(row["who"].replace(",", "")), median(row["figures"][column]))
                for row in record["rows"]
                if column in row["figures"]
            ]
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", label=column)
        axes.set(xscale="log", xlabel="files", ylabel=label)
        if len(columns) > 1 and name != "memory":
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    main()
