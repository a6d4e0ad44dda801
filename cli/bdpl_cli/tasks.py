"""``bdpl-async tasks``: the built-in tasks, all of them or one in full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from bdpl_async.config import Config
    from bdpl_async.tasktable import HubTable, TaskTable

__all__ = ["tasks"]

FIELD = 10  # columns of a field's name
DATA = """Data: "ships", the rows come with the package; "DIR", give a folder as
--data DIR, with train, dev and test as .tsv, .csv, .jsonl or .parquet; "hub",
without DIR they are downloaded, which needs: pip install 'bdpl-async[hub]'

One task in full: bdpl-async tasks NAME"""


def tasks(
    name: Annotated[str | None, Parameter(help="Show this one in full")] = None,
    /,
    *,
    json: Annotated[bool, Parameter(help="One JSON document on stdout", negative=())] = False,
) -> None:
    """List the built-in tasks, or show one in full."""
    from bdpl_async.config import builtin_tasks, load_config
    from bdpl_cli.stdout import print_json

    places = builtin_tasks() if name is None else {name: _place(name)}
    configs = {task: load_config(path) for task, path in places.items()}
    if json:
        documents = [_document(task, config) for task, config in configs.items()]
        print_json(documents if name is None else documents[0])
    elif name is None:
        print("\n".join(_table(configs)))
    else:
        print("\n".join(_whole(configs[name], places[name])))


def _place(name: str) -> Path:
    """Where the TASK.toml of a built-in task is.

    Raises:
        ConfigError: there is none of that name.
    """
    from difflib import get_close_matches

    from bdpl_async.config import builtin_tasks
    from bdpl_async.errors import ConfigError

    known = builtin_tasks()
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1)
    raise ConfigError(
        f"tasks: {name[:80]!r} is not built in",
        hint=(f"did you mean {near[0]!r}? " if near else "") + f"there are: {', '.join(known)}",
    )


def _document(name: str, config: Config) -> dict[str, object]:
    task = config.task
    return {
        "name": name,
        "metric": task.metric,
        "template": task.template,
        "causal": task.causal or task.template,
        "labels": task.labels,
        "columns": [*task.texts, task.label],
        "k_shot": task.k_shot,
        "manual": config.prompt.manual,
        "data": "shipped" if task.train else "--data",
        "hub": task.hub and task.hub.path,
    }


def _table(configs: Mapping[str, Config]) -> Iterator[str]:
    """A line a task, as wide as the terminal is."""
    from bdpl_cli.columns import aligned, room

    rows = [("task", "metric", "reads", "data", "answers")]
    rows += [(name, *_cells(config.task)) for name, config in configs.items()]
    *fixed, answers = zip(*rows, strict=True)
    left = room() - sum(max(map(len, column)) + 2 for column in fixed)
    cut = [_fitting(words, left) for words in answers]
    yield from aligned(list(zip(*fixed, cut, strict=True)), left=len(rows[0]))
    yield ""
    yield DATA


def _cells(task: TaskTable) -> tuple[str, str, str, str]:
    words = ", ".join(word.strip() for word in task.labels.values())
    data = "ships" if task.train else "DIR or hub" if task.hub else "DIR"
    return task.metric, ", ".join(task.texts), data, words


def _fitting(words: str, width: int) -> str:
    """As many whole words as there is room for."""
    if len(words) <= width:
        return words
    kept = words[: width - 4].rpartition(", ")[0]
    return f"{kept}, ..."


def _whole(config: Config, place: Path) -> Iterator[str]:
    """One task: what it is about, what is sent, what data it takes."""
    from bdpl_cli.columns import wrapped

    task = config.task
    yield from wrapped(f"{task.name}: {_about(place)}")
    yield ""
    fields = {
        "metric": task.metric,
        "template": repr(task.template),
        "servers": "" if task.causal is None else f"{task.causal!r}, up to {{mask}}",
        "labels": ", ".join(f"{value}: {word!r}" for value, word in task.labels.items()),
        "manual": repr(config.prompt.manual) if config.prompt.manual else "",
        "columns": ", ".join([*task.texts, task.label]),
        "or called": _other_names(task),
        "files": _files(task),
        "data": _data(task.hub, shipped=task.train is not None),
        "rows": _drawn(task),
        "TASK.toml": str(place),
    }
    for name, text in fields.items():
        if name == "TASK.toml":
            yield f"{name:{FIELD}}{text}"
        elif text:
            yield from wrapped(f"{name:{FIELD}}{text}", indent=" " * FIELD)


def _about(place: Path) -> str:
    """What the file says of itself: the comment that it begins with."""
    lines = place.read_text("utf-8").splitlines()
    heading = lines[: lines.index("[task]")]
    return " ".join(line.lstrip("# ") for line in heading)


def _other_names(task: TaskTable) -> str:
    return "; ".join(f"{name}: {', '.join(others)}" for name, others in task.columns.items())


def _files(task: TaskTable) -> str:
    return "; ".join(
        f"{split}: the first that there is of {', '.join(names)}"
        for split, names in task.files.items()
    )


def _data(hub: HubTable | None, *, shipped: bool) -> str:
    if shipped:
        return "with the package"
    where = "" if hub is None else "/".join(filter(None, (hub.path, hub.name)))
    return "--data DIR" + (f", else the hub's {where} (extra: hub)" if where else "")


def _drawn(task: TaskTable) -> str:
    if task.k_shot is None:
        return "all of them"
    return f"{task.k_shot} of each label for train and {task.k_shot} for dev, drawn by the seed"
