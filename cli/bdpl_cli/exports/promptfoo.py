"""A configuration of promptfoo: the learned prompt and the empty one, tried on rows of the task.

JSON, which promptfoo reads under any of its names, as it is YAML, too. promptfoo fills in
templates wherever it finds a string; so everything that came from elsewhere is escaped for the
way in which it is read, and rows that cannot be are passed over.
"""

from __future__ import annotations

import json
import keyword
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bdpl_async.errors import ConfigError, UsageError
from bdpl_async.studies.reopening import reconfigured, reopen
from bdpl_cli.exports.asking import Asking
from bdpl_cli.exports.learned import Column, Export, Learned, Piece, renamed
from bdpl_providers.openai import HOME

if TYPE_CHECKING:
    from bdpl_async.records import Example
    from bdpl_async.task import Split

__all__ = ["export"]

SCHEMA: Final = "https://promptfoo.dev/config-schema.json"
NO_SERVER: Final = "http://localhost:8000/v1"
OBEYED: Final = re.compile(r"\{(?=[{%#]|$)|#(?=\})")  # what begins or ends a tag of a template
FETCHED: Final = re.compile(r"file://|package:|\{\{[^}]*env|\n\Z")  # what it never leaves alone
NAMED: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")
TAKEN: Final = frozenset({"env", "none", "true", "false", "null", "prompt", "row", "loop", "super"})
UNFETCHED: Final = '{{ "" -}}\n{{ "" }}'  # nothing; but a line break says that it names no file
YAML_UNFIT: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
BEFORE: Final = r"""[\s"'*`.:]"""  # signs that may stand before a label word
SIGNS: Final = re.compile(r"[\\^$.|?*+()\[\]{}/-]")


def export(learned: Learned, asking: Asking, examples: int, file: Path | None = None) -> Export:
    """The configuration.

    Args:
        learned: the run.
        asking: the model.
        examples: rows of each class to try; 0 for none.
        file: that it is written to.

    Raises:
        ConfigError: the model's name or address would be read as a template.
    """
    _refuse_templates(asking)
    names = renamed(learned.template.columns, _variable)
    tests, told = _tests(learned, asking, names, examples)
    document = {
        "$schema": SCHEMA,
        "description": _inert(f"{learned.result.task}: the prompt learned by bdpl-async"),
        "prompts": [
            {"label": label, "raw": _prompt(asking, learned.pieces(prompt), names)}
            for label, prompt in _prompts(learned)
        ],
        "providers": [_provider(asking)],
        "tests": tests,
    }
    # What YAML cannot hold raw is spelled out; JSON may spell any character so.
    text = json.dumps(document, ensure_ascii=False, indent=2)
    text = YAML_UNFIT.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    notes = [*learned.notes(), *asking.notes, *_use(learned, asking, file), *told]
    return Export(f"{text}\n", tuple(notes))


def _prompts(learned: Learned) -> Sequence[tuple[str, str]]:
    """Label and prompt; the empty prompt only where it is another one."""
    found = [("learned", learned.result.prompt), ("empty", "")]
    return found if learned.result.prompt else found[1:]


def _prompt(asking: Asking, pieces: Sequence[Piece], names: Mapping[str, str]) -> str:
    """One prompt as promptfoo reads it: the messages of a chat as JSON, else the text."""
    text = "".join(
        f"{{{{ {names[piece.name]} }}}}" if isinstance(piece, Column) else _inert(piece)
        for piece in pieces
    )
    if not asking.chats:
        return UNFETCHED + text
    return json.dumps(_messages(asking, text), ensure_ascii=False, indent=1)


def _messages(asking: Asking, text: str) -> list[dict[str, str]]:
    system = [] if asking.system is None else [("system", _inert(asking.system))]
    turns = [*system, ("user", f"{text}\n{_inert(asking.question)}")]
    return [{"role": role, "content": content} for role, content in turns]


def _refuse_templates(asking: Asking) -> None:
    """See to it that promptfoo takes name and address as they are: it fills in both."""
    for option, text in (("--model", asking.model), ("--base-url", asking.base_url or "")):
        if OBEYED.search(text):
            raise ConfigError(
                f"{text[:80]!r}: promptfoo would fill in what stands in its braces",
                hint=f"give a plain one as {option}",
            )


def _provider(asking: Asking) -> dict[str, object]:
    """The model by promptfoo's name for it, asked for a label word as a run would ask."""
    kind = "chat" if asking.chats else "completion"
    own = ("model", "messages", "prompt")
    body = {key: value for key, value in asking.spoken("").items() if key not in own}
    # In a chat, or it would send a limit of its own beside ours.
    config = {"omitDefaults": True, "passthrough": body} if asking.chats else body
    url = asking.base_url or (None if asking.provider is None else NO_SERVER)
    if url not in (None, HOME):
        config["apiBaseUrl"] = url
    if asking.provider == "openai":
        config["apiKeyEnvar"] = asking.key
    elif url is not None:  # else it would send the key that is OpenAI's
        name = asking.key
        config["apiKey"] = "none" if name is None else f"{{{{ env.{name} or 'none' }}}}"
    return {"id": f"openai:{kind}:{asking.model}", "config": config}


def _tests(
    learned: Learned, asking: Asking, names: Mapping[str, str], examples: int
) -> tuple[list[dict[str, object]], list[str]]:
    """Rows of each class, each with the answer that it should have; and what to say of them."""
    if not examples:
        return [], ["no rows of the data are in it: add tests of your own"]
    try:
        task = reopen(learned.kept, reconfigured(learned.kept, {}))
    except UsageError as error:
        return [], [f"no rows are in it, add tests of your own: {error.args[0]}"]
    split, name = (task.test, "test") if len(task.test) else (task.dev, "dev")
    texts = learned.template.columns
    chosen, passed = _chosen(split, len(task.words), examples, texts)
    tests: list[dict[str, object]] = [
        {
            "description": f"{name} example {row + 1}",
            "vars": {names[one]: _value(example.columns[one], asking) for one in texts},
            "assert": [_expected(task.words, example.label)],
        }
        for row, example in chosen
    ]
    told = [f"{len(tests)} rows of your {name} data are in it: look before you share it"]
    if name == "dev":
        told.append("the prompt was chosen on dev, so these rows flatter it")
    if passed:
        told.append(f"{passed} rows that promptfoo would take for files or settings are left out")
    return tests, told


def _chosen(
    split: Split, classes: int, most: int, columns: Sequence[str]
) -> tuple[list[tuple[int, Example]], int]:
    """The first rows of each class in their order, and how many were passed over."""
    left, passed = [most] * classes, 0
    found = []
    for row, example in enumerate(split.examples):
        if not left[example.label]:
            continue
        if any(_fetched(example.columns[name], columns) for name in columns):
            passed += 1
            continue
        left[example.label] -= 1
        found.append((row, example))
    return found, passed


def _fetched(value: str, columns: Sequence[str]) -> bool:
    named = any(found[1] in columns for found in NAMED.finditer(value))
    return named or FETCHED.search(value) is not None


def _value(value: str, asking: Asking) -> str:
    """A column's text: in a chat it goes in as it is, elsewhere it is a template itself."""
    return value if asking.chats else _inert(value)


def _expected(words: Sequence[str], label: int) -> dict[str, str]:
    """The answer begins with the label word, whatever signs stand before it."""
    word = words[label].strip()
    others = {one.strip() for one in words} - {word}
    first, rest = word[0], SIGNS.sub(r"\\\g<0>", word[1:])
    both = {first.lower(), first.upper()}
    single = len(first.lower()) == len(first.upper()) == 1
    either = single and len(both) == 2 and not {one + word[1:] for one in both} & others
    start = f"[{first.upper()}{first.lower()}]" if either else SIGNS.sub(r"\\\g<0>", first)
    begun = rf"^{BEFORE}*{start}{rest}(?!\w)"
    return {"type": "regex", "value": _inert(begun), "metric": "accuracy"}


def _inert(text: str) -> str:
    """A template that gives exactly `text`."""
    return OBEYED.sub(lambda found: f'{{{{ "{found[0]}" }}}}', text)


def _variable(name: str) -> str:
    """The same, unless a template could not name it."""
    usable = name.isidentifier() and not keyword.iskeyword(name) and name not in TAKEN
    return name if usable else f"column_{name}"


def _use(learned: Learned, asking: Asking, file: Path | None) -> Iterable[str]:
    if file is None:
        yield "save it as promptfooconfig.yaml (or .json), then: npx promptfoo eval"
    else:
        yield f"to try it: npx promptfoo eval -c {shlex.quote(str(file))}"
    if asking.base_url is None and asking.provider is not None:
        yield f"{NO_SERVER} stands for your server: put its address there, or give --base-url"
    if asking.readout != "text":
        yield ("promptfoo reads what the model says, the run read probabilities: scores may differ")
    if learned.offsets():
        yield "the run is calibrated, and an answer in words cannot be: scores may differ"
