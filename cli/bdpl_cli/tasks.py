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

    configs = {name: load_config(path) for name, path in builtin_tasks().items()}
    if json:
        print_json(
            [
                {
                    "name": name,
                    "metric": config.task.metric,
                    "template": config.task.template,
                    "causal": config.task.causal or config.task.template,
                    "labels": config.task.labels,
                    "columns": [*config.task.texts, config.task.label],
                    "k_shot": config.task.k_shot,
                    "manual": config.prompt.manual,
                    "data": "shipped" if config.task.train else "--data",
                    "hub": config.task.hub and config.task.hub.path,
                }
                for name, config in configs.items()
            ]
        )
        return
    for name, task in ((name, config.task) for name, config in configs.items()):
        words = "/".join(word.strip() for word in task.labels.values())
        columns = " ".join(task.texts)
        data = "with its data" if task.train else "--data DIR"
        if task.hub is not None and not task.train:
            data += f", or the hub's {'/'.join(filter(None, (task.hub.path, task.hub.name)))}"
        print(f"{name:<8}  {task.metric:<8}  {columns:<13}  {words}  ({data})")
