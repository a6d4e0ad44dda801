"""A server in memory, as a `Transport`: what it gives and what it breaks on is said in fields.

Its tokens are words with their leading space; its beliefs are a table.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bdpl_async.errors import BdplError, ProviderRefused, RequestFailed, ServerFault
from bdpl_async.records import Billed, Quota, Request, Text, Usage
from bdpl_providers.candidates import Candidate, chat, text, token_ids, top_k
from bdpl_providers.dialect import Counter, Dialect
from bdpl_providers.server import Server
from bdpl_providers.wire import Answer, Document

__all__ = ["LABELS", "NO", "REQUEST", "YES", "Ledger", "StandIn", "server", "texts"]

LABELS = (" Yes", " No")
YES, NO = math.log(0.6), math.log(0.3)
ALL = (token_ids("m", batch=4), top_k("m", batch=4, ids="wanted"), chat("m"), *text("m", batch=4))
LONG, SHORT = "some prompt Is 7 greater? Answer:", "Is 7 greater? Answer:"
Answered = TypeVar("Answered", bound=Billed)
Json = dict[str, Any]


def texts(*befores: str) -> tuple[Text, ...]:
    return tuple(map(Text, befores))


REQUEST = Request(texts(LONG, SHORT), LABELS)


@dataclass
class Ledger:
    """A `Line` that writes down how many texts each request held, and what became of it."""

    sent: list[tuple[int, str]] = field(default_factory=list)

    async def __call__(
        self, exchange: Callable[[], Awaitable[Answered]], texts: Sequence[str]
    ) -> Answered:
        try:
            answer = await exchange()
        except BdplError as error:
            self.sent.append((len(texts), type(error).__name__))
            raise
        self.sent.append((len(texts), "ok"))
        return answer


@dataclass
class StandIn:
    """Answers as told.

    Attributes:
        beliefs: next word -> log-probability.
        split: a word -> its tokens, where they are several.
        ids: it knows the fields about token ids.
        tokenizes: it has /tokenize: yes, without strings, or only behind another key.
        lists: `ok`, `500`, `400`, or `first`: it answers the first text alone.
        logprobs: it gives any.
        depth: the longest list that it allows.
        tells: its refusal names that depth.
        chats: it has /chat/completions.
        says: what it says to each text.
        scales: its log-probabilities follow the temperature.
        window: characters that a text may have.
        listing: what /models brings.
        reverse: it sends choices in another order than the texts'.
        fails: path -> raised instead of any answer.
    """

    beliefs: dict[str, float] = field(
        default_factory=lambda: {" Yes": math.log(0.6), " No": math.log(0.3), " The": math.log(0.1)}
    )
    split: dict[str, list[str]] = field(default_factory=dict)
    ids: bool = True
    named: bool = True
    tokenizes: str = "yes"
    lists: str = "ok"
    logprobs: bool = True
    depth: int = 20
    tells: bool = True
    chats: bool = True
    says: Callable[[str], str] = lambda text: "Yes."
    scales: bool = False
    window: int = 10_000
    listing: Json = field(default_factory=lambda: {"data": [{"id": "m", "max_model_len": 99}]})
    reverse: bool = False
    fails: dict[str, BdplError] = field(default_factory=dict)
    posts: list[tuple[str, Document]] = field(default_factory=list)
    opened: int = 0
    closed: int = 0
    vocabulary: dict[str, int] = field(default_factory=dict)

    async def __aenter__(self) -> StandIn:
        self.opened += 1
        return self

    async def __aexit__(self, *error: object) -> None:
        self.closed += 1

    async def get(self, path: str) -> Answer:
        if path in self.fails:
            raise self.fails[path]
        return Answer(self.listing)

    async def post(self, path: str, body: Document, *, root: bool = False) -> Answer:
        self.posts.append((path, body))
        if path in self.fails:
            raise self.fails[path]
        if path == "/tokenize":
            return self._tokenize(body, root=root)
        if path == "/chat/completions":
            return self._chat(body)
        return self._complete(body)

    def pieces(self, text: str) -> list[str]:
        words = re.findall(r" ?\w+| |[^\w ]", text)
        return [piece for word in words for piece in self.split.get(word, [word])]

    def encode(self, text: str) -> list[int]:
        return [0, *map(self._number, self.pieces(text))]

    def _number(self, piece: str) -> int:
        return self.vocabulary.setdefault(piece, max(self.vocabulary.values(), default=0) + 1)

    def _tokenize(self, body: Document, *, root: bool) -> Answer:
        assert root
        if self.tokenizes == "no":
            raise RequestFailed("404: no such path", fate="refused")
        if self.tokenizes == "forbidden":
            raise ProviderRefused("403: not for this key", fate="refused")
        prompt = str(body["prompt"])
        document: Json = {"tokens": self.encode(prompt)}
        if body.get("return_token_strs"):
            document["token_strs"] = ["<s>", *(p.replace(" ", "Ġ") for p in self.pieces(prompt))]
        return Answer(document)

    def _refuse(self, prompts: Sequence[str], depth: object) -> None:
        if len(prompts) > 1 and self.lists == "500":
            raise ServerFault("500: list index out of range", fate="refused")
        if len(prompts) > 1 and self.lists == "400":
            raise RequestFailed("400: prompt must be a string", fate="refused")
        if any(len(prompt) > self.window for prompt in prompts):
            raise RequestFailed("400: maximum context length is exceeded", fate="refused")
        if isinstance(depth, int) and depth > self.depth:
            told = f", which is greater than max allowed: {self.depth}" if self.tells else ""
            raise RequestFailed(f"400: {depth} logprobs{told}", fate="refused")

    def _complete(self, body: Document) -> Answer:
        prompt: Any = body["prompt"]
        prompts: list[str] = prompt if isinstance(prompt, list) else [prompt]
        self._refuse(prompts, body.get("logprobs"))
        choices = [self._choice(index, text, body) for index, text in enumerate(prompts)]
        if self.lists == "first":
            del choices[1:]
        if self.reverse:
            choices.reverse()
        tokens = sum(len(self.encode(text)) for text in prompts)
        quotas = (Quota("requests", 60, 59),)
        return Answer({"choices": choices}, Usage(tokens, len(prompts)), quotas)

    def _choice(self, index: int, text: str, body: Document) -> Json:
        choice: Json = {"index": index, "text": self.says(text), "logprobs": None}
        if body.get("return_token_ids") and self.ids:
            choice["prompt_token_ids"] = self.encode(text)
        asked = body.get("logprob_token_ids")
        if body.get("logprobs") is not None and self.logprobs:
            words = {word: number for number, word in ((n, w) for w, n in self.vocabulary.items())}
            ranked = sorted(self._seen(body).items(), key=lambda pair: -pair[1])
            top = dict(ranked[: int(str(body["logprobs"]))])
            if isinstance(asked, list) and self.ids:
                known = {number: word for word, number in words.items()}
                top |= {known[n]: self._seen(body).get(known[n], -20.0) for n in asked}
            by_id = body.get("return_tokens_as_token_ids") and self.ids and self.named
            named = {
                f"token_id:{self.encode(word)[1]}" if by_id else word: value
                for word, value in top.items()
            }
            choice["logprobs"] = {"top_logprobs": [named]}
        return choice

    def _chat(self, body: Document) -> Answer:
        messages: Any = body["messages"]
        text = messages[-1]["content"]
        if not self.chats:
            raise RequestFailed("404: no such path", fate="refused")
        self._refuse([text], body.get("top_logprobs"))
        choice: Json = {"index": 0, "message": {"content": self.says(text)}, "logprobs": None}
        if body.get("logprobs") and self.logprobs:
            top = [{"token": w.strip(), "logprob": v} for w, v in self._seen(body).items()]
            choice["logprobs"] = {"content": [{"top_logprobs": top}]}
        return Answer({"choices": [choice]}, Usage(50, 1))

    def _seen(self, body: Document) -> dict[str, float]:
        """The beliefs, or what the temperature leaves of them."""
        heat = float(str(body["temperature"]))
        if not self.scales or heat == 1:
            return self.beliefs
        raised = {word: value / (heat or 0.01) for word, value in self.beliefs.items()}
        total = math.log(math.fsum(map(math.exp, raised.values())))
        return {word: value - total for word, value in raised.items()}


def server(
    standin: StandIn,
    *candidates: Candidate,
    batch_prompts: int | None = None,
    counter: Counter | None = None,
) -> Server:
    """Read by `candidates`, or by whatever works."""
    dialect = Dialect(
        "vllm",
        "m",
        "http://here/v1",
        candidates or ALL,
        batch_prompts=batch_prompts,
        counter=counter,
    )
    return Server(dialect, standin)
