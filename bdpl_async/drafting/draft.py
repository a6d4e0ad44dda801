"""A TASK.toml in the making, and its text with a comment for every key.

Whatever names and values hold, the text is valid TOML. Knows no data and no model.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bdpl_async.drafting.classes import Classes
from bdpl_async.drafting.labelwords import LabelWords, bare_number
from bdpl_async.drafting.phrasing import Phrasing
from bdpl_async.markup import clean as visible

__all__ = ["Draft"]

WIDTH = 96  # characters of a line of comments
COLUMN = 32  # where comments behind a value begin
METRICS = {
    "accuracy": "accuracy | f1 (the second label counts as positive) | macro_f1 | mcc",
    "f1": "the second label is rare and counts as positive; or accuracy | macro_f1 | mcc",
    "macro_f1": "some classes are rare, and count like the others; or accuracy | mcc",
}


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be written.

    Attributes:
        origin: what the file was made from, for its first line.
        files: train, and dev and test where they are, relative to the file.
        label: the column with the classes.
        model: PROVIDER/NAME.
        base_url: of its server, where one was given.
        prompts: the budget.
        causal: whether the model reads from left to right, up to the mask.
    """

    name: str
    origin: str
    files: Mapping[str, str]
    label: str
    classes: Classes
    words: LabelWords
    phrasing: Phrasing
    model: str
    base_url: str | None = None
    prompts: int = 8000
    causal: bool = False

    @property
    def template(self) -> str:
        """The one template that the model reads."""
        return self.phrasing.causal if self.causal else self.phrasing.template

    def toml(self) -> str:
        """The text of the file."""
        parts = (self._head(), self._task(), self._tables(), self._search(), self._model())
        return "\n".join("\n".join(part) + "\n" for part in parts)

    def _head(self) -> Iterator[str]:
        yield from _comment(f"A task for bdpl-async, written by init from {_shown(self.origin)}.")
        yield "# What it guessed is marked with (guess). On the command line any key can be changed"
        yield "# with --set table.key=value; most have an option: bdpl-async run --help"

    def _task(self) -> Iterator[str]:
        yield "[task]"
        yield _line("name", self.name)
        yield _line(
            "train", self.files["train"], "tsv, csv, jsonl or parquet; relative to this file"
        )
        if "dev" in self.files:
            yield _line("dev", self.files["dev"], "prompts are chosen on these rows")
        else:
            yield _idle("dev = ...", "none: half of train, at most 200 rows, is kept for it")
        if "test" in self.files:
            yield _line("test", self.files["test"], "scored once, at the end")
        else:
            yield _idle("test = ...", "none: the dev score flatters, since dev chose the prompt")
        yield _line("label", self.label, "(guess) the column with the classes")
        yield from self._shown_as()
        metric = self.classes.metric
        yield _line("metric", metric, f"(guess) {METRICS[metric]}")
        yield _idle("k_shot = 16", "learn from so few rows of each class, as the paper does")

    def _shown_as(self) -> Iterator[str]:
        """The template in force; for a masked model, beside it the one that servers may be sent."""
        about = (
            "(guess) How a row is shown: {prompt} is what is learned, {mask} where the label word"
            " stands, and any column may stand in braces."
        )
        if self.causal:
            about += " This model reads from left to right: it is sent the text up to {mask}."
        yield from _comment(about)
        yield _line("template", self.template)
        if not self.causal:
            yield "# Servers read up to {mask}; with this line they are sent this one instead:"
            yield f"# causal = {_text(self.phrasing.causal)}"

    def _tables(self) -> Iterator[str]:
        yield from _comment(
            "(guess) Each class and the word that stands for it, a leading space included. No two"
            " may begin with the same token; a masked model needs words of one token:"
            " bdpl-async probe TASK.toml shows the tokens."
        )
        yield "[task.labels]"
        for value, word in self.words.words.items():
            yield _line(value, word, self._of_class(value), key=_text(value))
        if self.phrasing.columns:
            yield "\n[task.columns]                # names in the template, and in the file"
            for name, column in self.phrasing.columns.items():
                yield f"{name} = [{_text(column)}]"
        if self.classes.spellings:
            yield "\n[task.values]                 # (guess) other spellings of a class"
            for spelling, value in self.classes.spellings.items():
                yield f"{_text(spelling)} = {_text(value)}"

    def _of_class(self, value: str) -> str:
        """What is said behind a label word."""
        count = self.classes.counts[value]
        rows = f"{count:,} rows" if count != 1 else "1 row"
        meant = self.words.meant.get(value)
        if meant:
            return f"{rows}; stands for {_shown(meant)!r}, which another model may read"
        if meant == "":
            return f"{rows}; say what {_shown(value)} means"
        if self.words.kind != "topic" and bare_number(value):
            return f"{rows}; see whether {_shown(value)} means this"
        return rows

    def _search(self) -> Iterator[str]:
        yield "[prompt]"
        yield _line("length", 10, "tokens of the learned prompt")
        yield _line("manual", self.phrasing.manual, "(guess) your own prompt, to compare with")
        yield _line("vocabulary_size", 200, "candidates, from the training texts")
        yield ""
        yield "[optimizer]"
        yield _line("method", "bdpl", "bdpl-paper | random | greedy | calibration | manual | empty")
        yield _line("samples", 20, "prompts drawn in each update")
        yield _line("batch", 4, "examples that each of them is tried on")
        yield _idle("steps = 200", "updates; without it the budget decides")

    def _model(self) -> Iterator[str]:
        yield "[model]"
        if self.model == "roberta/builtin":
            yield from _comment(
                "A small model that comes with the tool, to try the whole way offline. What it says"
                " of your rows means little; for real use take another one, such as"
            )
            yield '#   name = "roberta/roberta-large"          # on this machine, from the hub'
            yield '#   name = "vllm/Qwen/Qwen3-4B"             # your own server, with base_url'
            yield '#   name = "openai/gpt-4o-mini"             # the key from OPENAI_API_KEY'
        yield _line("name", self.model)
        if self.base_url is not None:
            yield _line("base_url", self.base_url)
        yield ""
        yield "[budget]                      # whatever is set is never exceeded"
        yield _line("prompts", self.prompts, "example evaluations, all of them counted")
        yield "# requests = 2000"
        yield "# usd = 5.0"


def _shown(text: str) -> str:
    """Text in one line, for a comment."""
    return " ".join(visible(text).split())


def _line(name: str, value: str | int, comment: str = "", *, key: str | None = None) -> str:
    found = f"{key or name} = {_text(value) if isinstance(value, str) else value}"
    if not comment:
        return found
    line = f"{found:<{COLUMN - 4}}  # {comment}"
    return line if len(line) <= WIDTH else f"# {comment}\n{found}"


def _idle(key: str, comment: str) -> str:
    """A key that is not set."""
    return f"# {key:<{COLUMN - 4}}# {comment}"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ")


def _text(value: str) -> str:
    """A TOML string; JSON escapes the same characters, but for those that are obeyed unseen."""
    found = json.dumps(value, ensure_ascii=False)
    return "".join(one if visible(one) == one else f"\\u{ord(one):04x}" for one in found)
