"""Puts the trainer of the built-in model, and the engine, where scripts of this folder find them.

Import it before anything from ``providers/training``, whose modules are scripts and no package.
"""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["ROOT"]

ROOT = Path(__file__).resolve().parents[2]

# Behind this folder, so that its own modules win where names meet.
for folder in (ROOT, ROOT / "providers", ROOT / "providers" / "training"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
