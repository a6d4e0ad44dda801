"""All of a learned prompt as one JSON document, enough to use it without bdpl-async.

schema, made_by       1, and this package
prompt, tokens        as sent, and what it is made of
template, columns     as in TASK.toml, and the columns of the data that it names
filled                the text as sent, with the prompt in it and its columns marked: before the
                      mask, and after it for models that read on
marks                 column -> what stands for it in `filled`
labels, words         data value -> label word; label word without its space -> data value
task, metric, model, method, seed, readout, stop_reason
chat                  [chat] of TASK.toml: system and ask, or null
scores                {dev, test, baseline: {dev, test}}, each {metric, score, ci95, n,
                      unanswered} or null; fractions
gain                  {score, ci95, p_value}: over the empty prompt on test, or null
calibration           {kind, offsets: label word -> nats to take off its log-probability}
notes                 sentences
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import orjson

from bdpl_async import __version__
from bdpl_async.template import Template
from bdpl_cli.exports.learned import Column, Export, Learned, marks

if TYPE_CHECKING:
    from bdpl_async.result import Baseline, Result

__all__ = ["export"]

SCHEMA: Final = 1
NAMES: Final = ("task", "model", "method", "seed", "stop_reason")


def export(learned: Learned) -> Export:
    """The document, indented."""
    result, notes = learned.result, learned.notes()
    document = {
        "schema": SCHEMA,
        "made_by": f"bdpl-async {__version__}",
        "prompt": result.prompt,
        "tokens": result.tokens,
        **_filled(learned),
        "labels": dict(result.labels),
        "words": {word.strip(): value for value, word in result.labels.items()},
        **{name: getattr(result, name) for name in NAMES},
        "metric": learned.config.task.metric,
        "readout": learned.readout,
        "chat": learned.config.chat.model_dump(),
        "scores": {**_scores(result), "baseline": _scores(result.baseline)},
        "gain": None if result.gain is None else asdict(result.gain),
        "calibration": None
        if result.calibration is None
        else {"kind": result.calibration.kind, "offsets": learned.offsets()},
        "notes": notes,
    }
    return Export(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n", tuple(notes))


def _filled(learned: Learned) -> dict[str, object]:
    """The template, and the text that it makes with the prompt."""
    result = learned.result
    template = Template.parse(result.template)
    bare = template.render(result.prompt, dict.fromkeys(template.columns, ""))
    found = marks([Column(name) for name in template.columns], bare.before + bare.after)
    filled = template.render(result.prompt, found)
    return {
        "template": result.template,
        "columns": template.columns,
        "filled": {
            "before": filled.causal if learned.causal else filled.before,
            "after": filled.after,
        },
        "marks": found,
    }


def _scores(scored: Result | Baseline) -> dict[str, object]:
    parts = {"dev": scored.dev, "test": scored.test}
    return {name: None if found is None else asdict(found) for name, found in parts.items()}
