"""The prompt itself, as it was sent, and nothing else."""

from __future__ import annotations

from bdpl_cli.exports.learned import Export, Learned

__all__ = ["export"]


def export(learned: Learned) -> Export:
    """One line, unless the prompt itself has several."""
    return Export(f"{learned.result.prompt}\n", tuple(learned.notes()))
