"""Run a command in a terminal of 100 columns and keep what it shows as an SVG picture.

python benchmarks/record.py examples/run.svg bdpl-async run --seed 0
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 100


def main(picture: Path, command: list[str]) -> None:
    """Draw the command line and all its output."""
    console = Console(record=True, width=WIDTH, file=sys.stderr)
    console.print(Text.assemble(("$ ", "green"), (" ".join(command), "bold")))
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    console.print(Text(done.stdout.rstrip("\n")))
    picture.write_text(console.export_svg(title="bdpl-async"), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
