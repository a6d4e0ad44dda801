"""``bdpl-async resume``: not built yet; says what does the same until it is."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

__all__ = ["resume"]


def resume(
    run: Annotated[Path, Parameter(name="RUN_DIR", help="The folder of a stopped run")], /
) -> None:
    """Go on with a stopped run.

    Raises:
        ConfigError: always, for now.
    """
    from bdpl_async.errors import ConfigError

    again = ["bdpl-async", "run", str(run / "run.toml"), "--out", f"{run}-again"]
    raise ConfigError(
        "resume is not built yet",
        hint="until then run it anew in another folder; what was paid for comes from the cache,"
        f" free:\n    {shlex.join(again)}",
    )
