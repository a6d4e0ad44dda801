"""``bdpl-async tasks``: the built-in tasks."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

__all__ = ["tasks"]


def tasks(
    *, json: Annotated[bool, Parameter(help="One JSON document on stdout", negative=())] = False
) -> None:
    """List the built-in tasks."""
    from bdpl_async.config import builtin_tasks, load_config
    from bdpl_cli.stdout import print_json

    tables = {name: load_config(path).task for name, path in builtin_tasks().items()}
    rows = [
        {"name": name, "metric": t.metric, "template": t.template, "labels": t.labels}
        for name, t in tables.items()
    ]
    if json:
        print_json(rows)
        return
    for row in rows:
        print(f"{row['name']:<10} {row['metric']:<10} {row['template']}")
