"""A module for DSPy: a signature with the learned prompt, a `Predict`, and the run's own messages.

DSPy's adapters write messages of their own. A learned prompt is words in a place, so the module
brings an adapter that sends what the run sent; with or without it the signature is the same.
Everything that came from elsewhere stands in the source as a literal.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from bdpl_async import __version__
from bdpl_cli.exports.asking import Asking
from bdpl_cli.exports.learned import Export, Learned, Piece, renamed

__all__ = ["export"]

OURS: Final = frozenset({"label", "signature", "instructions", "demos", "config", "lm"})
SIGNATURE: Final = frozenset({"fields", "input_fields", "output_fields", "append", "prepend"})
MORE: Final = frozenset({"insert", "delete", "equals", "predictor", "new_signature", "self", "str"})

SOURCE: Final = '''\
"""A prompt learned by bdpl-async, for DSPy.

    import dspy

    dspy.configure(lm={lm})
    classify = Classifier()
    print(classify({call}).label)

`Classifier` asks in the words of the run. `predict` asks in the words of whichever adapter DSPy is
set to, which is another text than the one that was learned: score it before you rely on it.
"""

from typing import Literal

import dspy
from dspy.utils.exceptions import AdapterParseError

LEARNED = {learned}
PROMPT = {prompt}
INSTRUCTIONS = {instructions}
TEXT = {text}
SYSTEM = {system}
ASK = {ask}
LABELS = {labels}


class Classify(dspy.Signature):
    __doc__ = INSTRUCTIONS

{fields}
    label: Literal[{words}] = dspy.OutputField(desc="exactly one of these words")


predict = dspy.Predict(Classify)


class AsLearned(dspy.Adapter):
    """Sends what the run sent: the template with the prompt, then the line that asks."""

    def format(self, signature, demos, inputs):
        messages = [] if SYSTEM is None else [{{"role": "system", "content": SYSTEM}}]
        for demo in demos:
            messages.append({{"role": "user", "content": self.asked(demo)}})
            messages.append({{"role": "assistant", "content": str(demo["label"])}})
        return [*messages, {{"role": "user", "content": self.asked(inputs)}}]

    def asked(self, columns):
        parts = (part if isinstance(part, str) else str(columns[part[0]]) for part in TEXT)
        return "".join(parts).rstrip(" ") + "\\n" + ASK

    def parse(self, signature, completion):
        said = completion.strip(" \\t\\n\\"'`*.:")
        for same in (str, str.casefold):
            for word in sorted(LABELS, key=len, reverse=True):
                if same(said).startswith(same(word)):
                    return {{"label": word}}
        raise AdapterParseError("AsLearned", signature, completion, "it is no label word")


class Classifier(dspy.Module):
    """A label word for a row; `LABELS` has the data value that it stands for."""

    def __init__(self):
        super().__init__()
        self.predict = dspy.Predict(Classify)

    def forward(self, **columns):
        with dspy.context(adapter=AsLearned()):
            return self.predict(**columns)

    async def aforward(self, **columns):
        with dspy.context(adapter=AsLearned()):
            return await self.predict.acall(**columns)
'''


def export(learned: Learned, asking: Asking, file: Path | None = None) -> Export:
    """The module's source; `file` is what it is written to."""
    result = learned.result
    names = renamed(learned.template.columns, _usable)
    words = {word.strip(): value for value, word in result.labels.items()}
    shown = ("task", "model", "method", "seed")
    about = {"by": f"bdpl-async {__version__}", **{key: getattr(result, key) for key in shown}}
    told = "\n".join(filter(None, [result.prompt, asking.question]))
    source = SOURCE.format(
        lm=_lm(asking),
        call=", ".join(f'{name}="..."' for name in names.values()),
        learned=_literal(about),
        prompt=repr(result.prompt),
        instructions=repr(told),
        text=_sequence(_parts(learned.pieces(result.prompt), names)),
        system=repr(asking.system),
        ask=repr(asking.question),
        labels=_literal(words),
        fields="\n".join(_field(column, name) for column, name in names.items()),
        words=", ".join(map(repr, words)),
    )
    return Export(source, (*learned.notes(), *asking.notes, *_use(learned, asking, file)))


def _lm(asking: Asking) -> str:
    """The call that makes the model; names are literals inside a docstring."""
    told = [f'"openai/{_plain(asking.model)}"']
    if asking.manner is None or asking.manner.effort is None:  # DSPy has its own for the others
        told += ["temperature=0", "max_tokens=8"]
    if asking.provider not in ("openai", None):
        told.insert(1, f'api_base="{_plain(asking.base_url or "http://localhost:8000/v1")}"')
        told.insert(2, 'api_key="none"')
    return f"dspy.LM({', '.join(told)})"


def _plain(text: str) -> str:
    """`text` without what would end a docstring or begin an escape."""
    return re.sub(r"[^\w./:@-]", "?", text, flags=re.ASCII)


def _literal(found: Mapping[str, object]) -> str:
    rows = "".join(f"    {key!r}: {value!r},\n" for key, value in found.items())
    return f"{{\n{rows}}}"


def _sequence(parts: Iterable[str]) -> str:
    return "[\n" + "".join(f"    {part},\n" for part in parts) + "]"


def _parts(pieces: Sequence[Piece], names: Mapping[str, str]) -> Iterable[str]:
    """Literals as they are, columns as tuples of their name."""
    for piece in pieces:
        yield repr(piece) if isinstance(piece, str) else f"({names[piece.name]!r},)"


def _field(column: str, name: str) -> str:
    desc = "" if column == name else f"desc={column!r}"
    return f"    {name}: str = dspy.InputField({desc})"


def _usable(name: str) -> str:
    """The same, unless Python, pydantic or DSPy has other uses for the name."""
    taken = name in OURS | SIGNATURE | MORE or hasattr(BaseModel, name)
    if not name.isidentifier() or name.startswith(("_", "model_")):
        return f"column_{name.lstrip('_')}"
    return f"{name}_text" if taken or keyword.iskeyword(name) else name


def _use(learned: Learned, asking: Asking, file: Path | None) -> Iterable[str]:
    save = "" if file is not None and file.suffix == ".py" else "save it as a .py file and "
    yield f"{save}import Classifier (as the run asked) or predict"
    if not asking.chats:
        yield (
            "the run read a continuation, and DSPy asks in a chat: score it there before you rely"
            " on it"
        )
    if learned.offsets():
        yield "the run is calibrated, and an answer in words cannot be: scores may differ"
