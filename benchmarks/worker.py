"""The masked-model worker against the paper's loop, on the same model, texts and threads.

    python benchmarks/worker.py                  # the built-in model and one of RoBERTa-base's size
    python benchmarks/worker.py --large --rounds 3
    OMP_NUM_THREADS=1 python benchmarks/worker.py --quick

The loop is the paper's as we read it, written anew in plain transformers: one prompt after the
other, for each a minibatch of 32 texts as they come, padded to its longest (the released code can
also pad to a fixed length, which would be slower), `AutoModelForMaskedLM` with logits at all
positions, float32, softmax over the label words. In its favour it records no gradients, and its
texts are tokenized before the clock starts. The worker is `Roberta` with all that it does,
tokenizing too; the ask of all prompts and texts is sorted by length and cut into requests, as the
gate does. The arms take turns; times are CPU seconds of all threads.

There are no trained weights of RoBERTa's size here: those models are drawn at random, which costs
the same. Their label scores hardly depend on the text, so that agreement is read off the built-in
model, whose scores do.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from bdpl_async.records import Request, Score, Text
from bdpl_providers.roberta import BUILTIN, Roberta

MINIBATCH = 32
EQUAL = 64  # tokens of a text with its prompt
LABELS = (" terrible", " great")
SHAPES = {"base": (768, 12, 12, 3072), "large": (1024, 24, 16, 4096)}
TARGETS = {("equal", "float32"): 1.5, ("mixed", "float32"): 2.0, ("", "bf16"): 5.0}
WORDS = """
    the my your order ticket screen film plot story day night music price money time box late good
    bad new old long short never still again please help thanks great terrible slow fast broken
    open close send back down after before with without they said that this was not very more
""".split()  # noqa: SIM905 - a list of so many words is no easier to read
Found = list[tuple[float, ...]]
Figures = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Work:
    """Minibatches, one for each prompt."""

    name: str
    batches: list[list[Text]]

    @property
    def size(self) -> int:
        """Texts, each with each prompt."""
        return sum(map(len, self.batches))


class Loop:
    """The paper's, over a model folder."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForMaskedLM, AutoTokenizer

        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.model: Any = AutoModelForMaskedLM.from_pretrained(folder, use_safetensors=True).float()
        self.model.eval()
        encode = self.tokenizer.encode
        self.labels = [encode(word, add_special_tokens=False)[0] for word in LABELS]

    def tokenized(self, work: Work) -> list[Any]:
        """Each minibatch as tensors, padded to its longest."""
        joined = [[t.before.rstrip() + "<mask>" + t.after for t in b] for b in work.batches]
        return [self.tokenizer(batch, padding=True, return_tensors="pt") for batch in joined]

    def scores(self, batches: Sequence[Any]) -> Found:
        """Log-softmax over the label words, a row a text."""
        import torch

        found: Found = []
        for batch in batches:
            inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
            with torch.no_grad():
                logits = self.model(**inputs).logits
            at = inputs["input_ids"] == self.tokenizer.mask_token_id
            found += map(tuple, logits[at][:, self.labels].softmax(-1).log().tolist())
        return found


async def ours(scorer: Roberta, work: Work) -> Found:
    """The same of the worker, in the order of `work`."""
    texts = [text for batch in work.batches for text in batch]
    order = sorted(range(len(texts)), key=lambda i: len(texts[i].before) + len(texts[i].after))
    found: dict[int, tuple[float, ...]] = {}
    size = scorer.capabilities.batch
    for part in (order[i : i + size] for i in range(0, len(order), size)):
        reply = await scorer.score(Request(tuple(texts[i] for i in part), LABELS))
        for index, score in zip(part, reply.scores, strict=True):
            assert isinstance(score, Score)
            total = math.log(math.fsum(map(math.exp, score.logprobs)))
            found[index] = tuple(value - total for value in score.logprobs)
    return [found[index] for index in range(len(texts))]


def works(folder: Path, prompts: int, texts: int) -> list[Work]:
    """Texts of our own words, each one token long: all of 64 tokens, and of 5 to 200 words."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    words = [w for w in WORDS if len(tokenizer.encode(" " + w, add_special_tokens=False)) == 1]
    rng = random.Random(0)
    bare = len(tokenizer.encode(" It was <mask>."))
    found = []
    for name in ("equal", "mixed"):
        long = [
            EQUAL - bare - 10 if name == "equal" else round(5 * 40 ** rng.random())
            for _ in range(texts)
        ]
        bodies = [" ".join(rng.choices(words, k=length)) for length in long]
        heads = [" ".join(rng.choices(words, k=10)) for _ in range(prompts)]
        batches = [[Text(f" {head} {body} It was ", ".") for body in bodies] for head in heads]
        found.append(Work(name, batches))
    return found


@contextmanager
def drawn(shape: str) -> Iterator[Path]:
    """A folder with a random model of that size and the built-in tokenizer."""
    import torch
    from transformers import AutoTokenizer, RobertaConfig, RobertaForMaskedLM

    width, layers, heads, inner = SHAPES[shape]
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=50265, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=inner, max_position_embeddings=514, type_vocab_size=1,
        layer_norm_eps=1e-5, bos_token_id=0, pad_token_id=1, eos_token_id=2,
    )  # fmt: skip
    with TemporaryDirectory() as folder:
        RobertaForMaskedLM(config).save_pretrained(folder)
        AutoTokenizer.from_pretrained(BUILTIN).save_pretrained(folder)
        yield Path(folder)


def compared(found: Found, wanted: Found) -> dict[str, float]:
    """How far `found` is from the loop's scores."""
    errors = [
        abs(a - b)
        for mine, theirs in zip(found, wanted, strict=True)
        for a, b in zip(mine, theirs, strict=True)
    ]
    same = [
        max(range(len(a)), key=a.__getitem__) == max(range(len(b)), key=b.__getitem__)
        for a, b in zip(found, wanted, strict=True)
    ]
    return {
        "% same argmax": 100 * sum(same) / len(same),
        "largest error": max(errors),
        "mean error": sum(errors) / len(errors),
    }


async def measured(name: str, folder: Path, sizes: tuple[int, int], rounds: int) -> Figures:
    """Figures of one model; `sizes` are prompts and texts of a minibatch."""
    figures: Figures = defaultdict(list)
    async with AsyncExitStack() as stack:
        # Opened first: they ask OpenMP to wait quietly, before torch is imported.
        scorers = {
            dtype: await stack.enter_async_context(Roberta(str(folder), device="cpu", dtype=dtype))
            for dtype in _dtypes()
        }
        loop = Loop(folder)
        for work in works(folder, *sizes):
            batches = loop.tokenized(work)
            for scorer in scorers.values():  # a first pass asks for memory
                await ours(scorer, Work("", [work.batches[0][:4]]))
            for _ in range(rounds):
                row = f"worker, {name}, {work.name}"
                wanted, base = await _timed(lambda b=batches: asyncio.to_thread(loop.scores, b))
                figures[f"{row}, loop | texts/s"].append(work.size / base)
                for dtype, scorer in scorers.items():
                    found, spent = await _timed(lambda s=scorer, w=work: ours(s, w))
                    figures[f"{row}, {dtype} | texts/s"].append(work.size / spent)
                    figures[f"{row}, {dtype} | x the loop"].append(base / spent)
                    for what, value in compared(found, wanted).items():
                        figures[f"{row}, {dtype} | {what}"].append(value)
    return dict(figures)


async def _timed(call: Callable[[], Any]) -> tuple[Found, float]:
    began = time.process_time()
    found = await call()
    return found, time.process_time() - began


def _dtypes() -> list[str]:
    """bfloat16 only where the processor has a matrix unit for it."""
    import os

    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from bdpl_providers.packed import multiplies_bf16

    return ["float32", "bf16"] if multiplies_bf16() else ["float32"]


def figures(rounds: int, quick: bool, large: bool = False) -> Figures:
    """`WHAT | UNIT` -> a value per round, of all models; `quick` takes few texts."""
    _dtypes()
    found = asyncio.run(measured("built-in", BUILTIN, (2 if quick else 16, MINIBATCH), rounds))
    for shape in ("base", "large") if large else ("base",):
        sizes = (1, 8) if quick else (2, MINIBATCH)
        with drawn(shape) as folder:
            found |= asyncio.run(measured(shape, folder, sizes, rounds))
    return found


def main() -> None:
    """Measure and print a table: medians, and the range where there is one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="few texts")
    parser.add_argument("--large", action="store_true", help="a model of RoBERTa-large's size too")
    arguments = parser.parse_args()
    for name, values in figures(arguments.rounds, arguments.quick, arguments.large).items():
        what, unit = name.split(" | ")
        target = next(
            (f"  target {t:g}" for (s, d), t in TARGETS.items() if s in what and what.endswith(d)),
            "",
        )
        aim = target if unit == "x the loop" else ""
        spread = f"{min(values):.3g} to {max(values):.3g}"
        print(f"{what:36} {median(values):10.3g} {unit:14} ({spread}){aim}", flush=True)


if __name__ == "__main__":
    main()
