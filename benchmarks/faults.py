"""Break everything that can break around a run, once each, and look what becomes of it.

    python benchmarks/faults.py           all faults, in some minutes, into benchmarks/faults.md
    python benchmarks/faults.py kills disks some groups only; writes nothing

Each fault strikes a real `bdpl-async run` in a process of its own, against `tests/faultserver.py`,
which keeps its own books. What was bought, spent and found is held against those books and against
a run that nothing went wrong for. Exits 1 where a row fails. Linux, or another system with ptys.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from faultcases import Bench, Row, Rows, bench
from faultdisks import changes, damage, disks
from faultdying import kills, listeners, signals
from faultserving import answers, deaths, refusals

HERE = Path(__file__).parent
GROUPS: dict[str, tuple[str, Rows]] = {
    "answers": ("The server errs: every fifth request", answers),
    "refusals": ("The server refuses", refusals),
    "deaths": ("The server dies", deaths),
    "kills": ("The process is killed", kills),
    "signals": ("The process is told to stop", signals),
    "listeners": ("Who listens, and who else is there", listeners),
    "disks": ("The disk", disks),
    "damage": ("What a run left is damaged", damage),
    "changes": ("What a run depends on is changed", changes),
}
HEAD = """\
# Faults

    python benchmarks/faults.py

One run each: 6 steps, {requests} requests of 4 texts, 8 at a time, a budget of 200 requests, and
a cache. *Same result* means that losses, prompt, scores, intervals, `answers.json` and
`policy.json` are those of the run without faults, bit for bit; after a kill, a signal or trouble
with the disk, once it was resumed. *Nothing paid twice* is by the server's own books, like the
budget; where a server or a process dies, what was in flight then may be.
"""


def table(title: str, rows: Sequence[Row]) -> str:
    """One group, as Markdown."""
    lines = [
        f"\n## {title}\n",
        "| fault injected | survived | what the user saw |",
        "|---|---|---|",
    ]
    for row in rows:
        held = ", ".join(what for what, holds in row.checks.items() if holds)
        broken = ", ".join(what for what, holds in row.checks.items() if not holds)
        told = f"yes: {held}" if row.survived else f"**no: {broken}**"
        said = row.said.replace("|", "\\|").replace("`", "'")
        quoted = f"`{said}`" if said and not said.startswith("nothing") else said
        lines.append(f"| {row.fault} | {told} | {quoted} |")
    return "\n".join(lines) + "\n"


def done(name: str, place: Bench) -> list[Row]:
    """All rows of a group, told as they come."""
    found = []
    for row in GROUPS[name][1](place):
        found.append(row)
        verdict = "ok  " if row.survived else "FAIL"
        broken = [what for what, holds in row.checks.items() if not holds]
        print(f"{verdict} {row.fault}: {row.said} {broken or ''}", file=sys.stderr, flush=True)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Inject, judge, tell."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(GROUPS))
    options.add_argument("--out", default=str(HERE / "faults.md"), help="(%(default)s)")
    given = options.parse_args(arguments)
    if unknown := set(given.groups) - set(GROUPS):
        options.error(f"no such group: {', '.join(sorted(unknown))}")
    began, groups = time.monotonic(), given.groups or list(GROUPS)
    with TemporaryDirectory() as folder, bench(Path(folder)) as place:
        rows = {name: done(name, place) for name in groups}
        text = HEAD.format(requests=place.whole.requests)
    text += "".join(table(GROUPS[name][0], found) for name, found in rows.items())
    if not given.groups:
        Path(given.out).write_text(text)
    every = [row for found in rows.values() for row in found]
    failed = [row.fault for row in every if not row.survived]
    print(f"{len(every)} faults, {len(failed)} failed, {time.monotonic() - began:.0f} s")
    print("\n".join(failed) if failed else "PASS")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
