"""A loopback server that keeps every body posted to it, and answers each with one label word.

with recorder(" great") as server:
    ...                        # ask server.url
    assert server.bodies[-1]["model"] == "m"
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Recorder", "recorder"]

Json = dict[str, Any]


@dataclass(slots=True)
class Recorder:
    """What came in.

    Attributes:
        word: what it answers, with its leading space.
        others: what else it lists as likely.
        keys: Authorization headers, in the order of the bodies.
        lists: whether it gives log-probabilities.
    """

    word: str
    others: tuple[str, ...]
    url: str = ""
    lists: bool = True
    paths: list[str] = field(default_factory=list)
    bodies: list[Json] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    def answer(self, path: str, body: Json) -> Json:
        """As the dialect has it."""
        if path.endswith("/chat/completions"):
            choices = [self._turn()]
        else:
            prompts = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
            choices = [{**self._continuation(), "index": i} for i, _ in enumerate(prompts)]
        usage = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
        head = {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"]}
        return {**head, "choices": choices, "usage": usage}

    def _likely(self) -> dict[str, float]:
        return {self.word: -0.1, **{other: -3.0 for other in self.others}}

    def _turn(self) -> Json:
        listed = [{"token": t, "logprob": p, "bytes": None} for t, p in self._likely().items()]
        content = [{**listed[0], "top_logprobs": listed}]
        return {
            "index": 0,
            "message": {"role": "assistant", "content": self.word.strip()},
            "logprobs": {"content": content} if self.lists else None,
            "finish_reason": "stop",
        }

    def _continuation(self) -> Json:
        logprobs = {
            "tokens": [self.word],
            "token_logprobs": [-0.1],
            "top_logprobs": [self._likely()],
            "text_offset": [0],
        }
        told = logprobs if self.lists else None
        return {"text": self.word, "logprobs": told, "finish_reason": "length"}


@contextmanager
def recorder(word: str = " great", *others: str, lists: bool = True) -> Iterator[Recorder]:
    """Serve in a thread until the block ends."""
    kept = Recorder(word, others, lists=lists)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            kept.paths.append(self.path)
            kept.bodies.append(body)
            kept.keys.append(self.headers.get("authorization"))
            reply = json.dumps(kept.answer(self.path, body)).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        kept.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield kept
        finally:
            server.shutdown()
            thread.join()
