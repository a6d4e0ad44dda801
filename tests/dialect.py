"""What vLLM makes of a scoring request: the two dialects, with its own words for what is wrong.

    body --understood--> Work: the texts, and the good answer to them

Pure: it knows no connection and counts nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults import Faults, Sent, error
from tests.toymodel import NEVER, ToyModel

__all__ = ["CHAT", "COMPLETIONS", "Manners", "Refused", "Work", "flat", "understood"]

Json = dict[str, Any]
COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"


@dataclass(slots=True)
class Manners:
    """How the server behaves; may be changed while it runs.

    Attributes:
        latency: seconds before each scoring reply.
        noise: sigma of a log-normal factor on the latency.
        key: the only one it lets in.
        echo: its error messages repeat the Authorization header.
        rate: scoring requests that it takes in so many seconds; more get a 429.
        hint: how that 429 says when to come back, as in `limited`.
        parallel: scoring requests at the same time; more get a 429.
        shut: after so many scoring requests, all get a 429 for so many seconds.
        window: tokens that a text may have.
        ids: whether it knows ``logprob_token_ids``; if not it ignores the field.
        lists: whether it takes several prompts at once; if not it breaks on them (500).
        logprobs: whether it gives any; if not they are null.
        tokenizes: whether it has ``/tokenize``.
        elsewhere: where redirects point to.
        price: USD per million (prompt, completion) tokens.
    """

    latency: float = 0.0
    noise: float = 0.0
    model: str = "fake"
    key: str | None = None
    echo: bool = False
    rate: tuple[int, float] | None = None
    hint: str = "seconds"
    parallel: int | None = None
    shut: tuple[int, float] | None = None
    window: int = 4096
    ids: bool = True
    lists: bool = True
    logprobs: bool = True
    max_logprobs: int = 20
    tokenizes: bool = True
    elsewhere: str = ""
    price: tuple[float, float] = (0.0, 0.0)
    faults: Faults = field(default_factory=Faults)


@dataclass(frozen=True, slots=True)
class Work:
    """A scoring request, understood: token ids of each text, the texts, and the good answer."""

    ids: list[list[int]]
    texts: list[str]
    document: Json


class Refused(Exception):
    """Carries an error reply."""

    def __init__(self, sent: Sent) -> None:
        super().__init__(sent.status)
        self.sent = sent


def understood(body: Json, path: str, manners: Manners, model: ToyModel) -> Work:
    """Read a request and answer it.

    Raises:
        Refused: as vLLM refuses it: unknown model, too long, too many log-probabilities.
    """
    if body.get("model") != manners.model:
        raise Refused(
            error(404, f"The model `{body.get('model')}` does not exist.", code="NotFoundError")
        )
    chat = path == CHAT
    wanted = body.get("top_logprobs" if chat else "logprobs") or 0
    if wanted > manners.max_logprobs:
        message = f"Requested sample logprobs of {wanted}, which is greater than max allowed"
        raise Refused(error(400, message, code="BadRequestError"))
    ids = _ids(body, chat, model)
    if len(ids) > 1 and not manners.lists:
        raise Refused(error(500, "Internal Server Error", "plain"))
    if any(len(one) + 1 > manners.window for one in ids):
        message = f"This model's maximum context length is {manners.window} tokens."
        raise Refused(error(400, message, code="BadRequestError"))
    texts = [model.decode(one) for one in ids]
    speaker = _Speaker(body, manners, model)
    answer = speaker.chat if chat else speaker.completion
    choices = [answer(index, texts[index], one) for index, one in enumerate(ids)]
    read, written = sum(map(len, ids)), len(ids)
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    head = {"id": "cmpl-1", "object": "text_completion", "created": 0, "model": manners.model}
    return Work(ids, texts, {**head, "choices": choices, "usage": usage})


def _ids(body: Json, chat: bool, model: ToyModel) -> list[list[int]]:
    """The token ids of each prompt: a string, ids, or a list of either."""
    special = body.get("add_special_tokens", True)
    prompt = flat(body["messages"]) if chat else body["prompt"]
    listed = isinstance(prompt, list) and not all(isinstance(one, int) for one in prompt)
    prompts: Sequence[str | list[int]] = prompt if listed else [prompt]
    return [model.encode(one, special=special) if isinstance(one, str) else one for one in prompts]


@dataclass(frozen=True, slots=True)
class _Speaker:
    """Writes one choice of an answer."""

    body: Json
    manners: Manners
    model: ToyModel

    def completion(self, index: int, text: str, ids: list[int]) -> Json:
        """As ``/v1/completions`` has it."""
        body, model, knows_ids = self.body, self.model, self.manners.ids
        ranked = model.ranking(text)
        best = next(iter(ranked))
        choice: Json = {"index": index, "text": best, "logprobs": None, "finish_reason": "length"}
        if body.get("logprobs") is not None and self.manners.logprobs:
            asked = body.get("logprob_token_ids") if knows_ids else None
            words = list(ranked)[: max(1, body["logprobs"])]
            if asked is not None:
                words = [best, *(w for i in asked if (w := model.decode([i])) != best)]
            choice["logprobs"] = {
                "text_offset": [0],
                "token_logprobs": [ranked[best]],
                "tokens": [self._name(best)],
                "top_logprobs": [{self._name(word): ranked.get(word, NEVER) for word in words}],
            }
        if body.get("return_token_ids") and knows_ids:
            choice |= {"prompt_token_ids": ids, "token_ids": model.encode(best, special=False)}
        return choice

    def chat(self, index: int, text: str, ids: list[int]) -> Json:
        """As ``/v1/chat/completions`` has it; the ids do not show there."""
        ranked = self.model.ranking(text, chat=True)
        best = next(iter(ranked))
        message = {"role": "assistant", "content": best}
        choice: Json = {"index": index, "message": message, "logprobs": None}
        if self.body.get("logprobs") and self.manners.logprobs:
            likeliest = list(ranked.items())[: self.body.get("top_logprobs", 0)]
            token = _token(best, ranked[best])
            token["top_logprobs"] = [_token(*pair) for pair in likeliest]
            choice["logprobs"] = {"content": [token]}
        return {**choice, "finish_reason": "length"}

    def _name(self, word: str) -> str:
        """A token by its text, or by its id where that is asked for and known."""
        named = bool(self.body.get("return_tokens_as_token_ids")) and self.manners.ids
        return f"token_id:{self.model.encode(word, special=False)[0]}" if named else word


def flat(messages: list[Json]) -> str:
    """A chat template: each message on a line of its own."""
    return "\n".join(f"{message['role']}: {message['content']}" for message in messages)


def _token(word: str, logprob: float) -> Json:
    return {"token": word, "logprob": logprob, "bytes": list(word.encode())}
