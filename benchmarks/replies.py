"""What the loopback server says: HTTP replies, made once for each shape of request."""

from __future__ import annotations

import math
import zlib
from functools import cached_property, lru_cache
from typing import Any

import orjson

MODEL = "loopback"
TOKENS = 40  # of a prompt, in every reply's usage
PLAIN = (1, 2)  # token ids that are shown where none were asked for


class Asked:
    """A request's body."""

    def __init__(self, body: bytes) -> None:
        self.body: dict[str, Any] = orjson.loads(body) if body else {}

    @cached_property
    def prompts(self) -> list[str]:
        """One or more; none where a chat was sent."""
        prompts = self.body.get("prompt", [])
        return [prompts] if isinstance(prompts, str) else prompts

    @property
    def tokens(self) -> int:
        """What the reply's usage will say."""
        return TOKENS * max(1, len(self.prompts)) + max(1, len(self.prompts))


def answer(asked: Asked) -> bytes:
    """The reply to a request."""
    if "messages" in asked.body:
        return chatted()
    if asked.body.get("return_token_ids"):
        return encoded(asked.prompts)
    return scored(len(asked.prompts), tuple(asked.body.get("logprob_token_ids") or PLAIN))


@lru_cache(maxsize=1_000)
def scored(prompts: int, ids: tuple[int, ...]) -> bytes:
    """The reply to so many prompts, with log-probabilities of these tokens, as vLLM writes it."""
    top = {f"token_id:{token}": -0.7 - 0.513 * place for place, token in enumerate(ids)}
    logprobs = {
        "text_offset": [0],
        "token_logprobs": [-0.7],
        "tokens": [next(iter(top), "token_id:0")],
        "top_logprobs": [top],
    }
    choice = {"text": " x", "logprobs": logprobs, "finish_reason": "length", "stop_reason": None}
    choices = [{"index": index, **choice} for index in range(prompts)]
    return completed(choices, TOKENS * prompts)


def encoded(prompts: list[str]) -> bytes:
    """The reply that tells the token ids of each prompt: one a word."""
    ids = [[zlib.crc32(word.encode()) % 50_000 for word in text.split(" ")] for text in prompts]
    choices = [
        {"index": index, "text": " x", "logprobs": None, "prompt_token_ids": one}
        for index, one in enumerate(ids)
    ]
    return completed(choices, sum(map(len, ids)))


@lru_cache(maxsize=1)
def chatted() -> bytes:
    """The reply to a chat, with the likeliest two words."""
    words = [
        {"token": word, "logprob": -0.7 - 0.513 * place, "bytes": list(word.encode())}
        for place, word in enumerate((" yes", " no"))
    ]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": " yes"},
        "logprobs": {"content": [{**words[0], "top_logprobs": words}]},
        "finish_reason": "length",
    }
    return completed([choice], TOKENS, "chat.completion")


def completed(choices: list[dict[str, Any]], tokens: int, kind: str = "text_completion") -> bytes:
    """A whole HTTP reply."""
    usage = {"prompt_tokens": tokens, "completion_tokens": len(choices)}
    usage["total_tokens"] = sum(usage.values())
    head = {"id": "cmpl-7f3a", "object": kind, "created": 1_790_000_000, "model": MODEL}
    return sent("200 OK", {**head, "choices": choices, "usage": usage})


def refusal(seconds: float) -> bytes:
    """The reply to what is over the limit."""
    error = {"message": "too many", "type": "rate_limit_error", "code": "rate_limit_exceeded"}
    line = f"retry-after: {max(1, math.ceil(seconds))}"
    return sent("429 Too Many Requests", {"error": error}, line)


def sent(status: str, document: dict[str, Any], *more: str) -> bytes:
    """A status and a JSON document, with further header lines."""
    body = orjson.dumps(document)
    lines = (
        f"HTTP/1.1 {status}",
        "date: Mon, 23 Nov 2026 12:00:00 GMT",
        "server: uvicorn",
        f"content-length: {len(body)}",
        "content-type: application/json",
        *more,
    )
    return "\r\n".join([*lines, "", ""]).encode() + body
