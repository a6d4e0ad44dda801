"""What was run: task, model, method, labels, budget, when and how it ended, how to run it again."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from bdpl_async.events import Started
from bdpl_async.markup import Element, Node, tag
from bdpl_async.wording import counted
from bdpl_cli.page.document import facts, note, section, table
from bdpl_cli.page.material import Material
from bdpl_cli.page.wording import day, duration, ellipsis

__all__ = ["ENDINGS", "environment", "setting"]

ENDINGS: Final[Mapping[str, str]] = {
    "steps": "all updates were done",
    "budget": "the budget was used up",
    "converged": "the likeliest prompt stayed as it was",
    "interrupted": "it was interrupted",
    "provider": "the provider gave up",
}
NAME: Final = 80  # characters of a name
NAMES: Final = {"bdpl-async": "bdpl-async", "python": "Python", "numpy": "NumPy"}


def setting(material: Material) -> Element:
    """The section."""
    return section(
        "setting",
        "What was run",
        facts(_facts(material)),
        table(
            "Labels",
            ["In the data", "What the model is asked for"],
            [
                (ellipsis(value, NAME), [tag("code", ellipsis(word, NAME))])
                for value, word in material.result.labels.items()
            ],
        ),
        *_again(material),
    )


def _facts(material: Material) -> Iterator[tuple[str, Node]]:
    result, config = material.result, material.kept.config
    yield "Task", ellipsis(result.task, NAME)
    yield "Model", ellipsis(result.model, NAME)
    yield "Method", result.method
    yield "Seed", str(result.seed)
    if material.readout is not None:
        yield "Read by", material.readout
    started = next((event for event in material.events if isinstance(event, Started)), None)
    if started is not None:
        yield "Examples", f"{started.train:,} train, {started.dev:,} dev, {started.test:,} test"
    if result.steps_done:
        yield "Updates", f"{result.steps_done:,}"
        size = config.optimizer
        yield "An update", f"{counted(size.samples, 'prompt')} on {counted(size.batch, 'example')}"
    yield "Prompt", f"{counted(len(result.tokens), 'token')}"
    yield "Loss", {"ce": "cross-entropy", "hinge": "hinge"}[config.optimizer.loss]
    if (kind := config.optimizer.calibration) != "none":
        yield "Calibration", kind
    yield "Ended because", ENDINGS.get(result.stop_reason, result.stop_reason)
    yield "Took", duration(result.usage.seconds)
    yield "Result written", day(material.ended)


def _again(material: Material) -> Iterator[Element]:
    folder = Path(os.path.normpath(material.kept.path.absolute()))
    yield tag("h3", "Run it again")
    command = ["bdpl-async", "run", str(folder / "run.toml"), "--out", "runs/again"]
    yield tag("pre", shlex.join(command))
    yield note(
        "run.toml holds the whole configuration. The same seed gives the same result where the"
        " model answers alike; what the cache knows costs nothing."
    )
    if material.result.stop_reason == "interrupted":
        yield tag("h3", "Go on with it")
        yield tag("pre", shlex.join(["bdpl-async", "resume", str(folder)]))


def environment(material: Material) -> Element:
    """Releases, seed and a fingerprint of the data: what numbers depend on."""
    result = material.result
    pairs: list[tuple[str, Node]] = [
        (NAMES.get(name, name), str(version)) for name, version in result.versions.items()
    ]
    pairs.append(("Seed", str(result.seed)))
    digest = tag("dd", tag("code", result.data_sha256))
    whole = facts(pairs)
    whole.append(tag("div", tag("dt", "SHA-256 of the data as used"), digest, class_="wide"))
    return section("environment", "Environment", whole)
