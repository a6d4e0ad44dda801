"""How the model of a run is asked, as its provider would ask it, and how a person's own would be.

    Learned, --model --asking--> Asking --body, spoken--> what is posted

Read-outs and manners are the providers' own, so that an export sends what the run sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from bdpl_async.errors import ConfigError
from bdpl_cli.exports.learned import Learned
from bdpl_providers.chat import MOST_LISTED, ChatTopK, asking
from bdpl_providers.completions import TopK
from bdpl_providers.decisions import Decisions
from bdpl_providers.manner import ROOM, Manner, first_guess
from bdpl_providers.openai import HOME
from bdpl_providers.said import Said
from bdpl_providers.vllm import BASE_URL

__all__ = ["Asking", "asking_of", "recalled"]

UNNAMED: Final = "YOUR-MODEL"
Readout = Literal["chat", "logprobs", "decisions", "text"]
USUAL: Final[dict[str, Readout]] = {"openai": "chat", "vllm": "logprobs", "compatible": "logprobs"}
HOMES: Final = {"openai": HOME, "vllm": BASE_URL}
KEYS: Final = {"openai": "OPENAI_API_KEY", "vllm": "VLLM_API_KEY"}
LISTED: Final = re.compile(r"lists the top (\d+) at most")
WANTS: Final = re.compile(r"wants (max_tokens|max_completion_tokens) instead of")
EFFORT: Final = re.compile(r"thinks at least with reasoning_effort (\w+)")


@dataclass(frozen=True, slots=True)
class Asking:
    """One model, and how it is asked for a label word.

    Attributes:
        provider: None where the run's model is behind no server.
        model: its name on the server.
        readout: how label probabilities are read.
        labels: the label words.
        base_url: of the server; None where that is not known.
        key: the environment variable of the account's key, if there is one.
        manner: what the model wants beside the common fields of a chat; None for nothing.
        depth: likely tokens to ask for.
        temperature: other than 0, where the server scales by it.
        notes: what a person should know, a sentence each.
    """

    provider: str | None
    model: str
    readout: Readout
    labels: tuple[str, ...]
    base_url: str | None = None
    key: str | None = None
    system: str | None = None
    ask: str | None = None
    manner: Manner | None = None
    depth: int = MOST_LISTED
    temperature: float = 0
    notes: tuple[str, ...] = field(default=())

    @property
    def chats(self) -> bool:
        """Whether a spoken answer is asked for in a chat, and not as a continuation."""
        if self.readout == "text":  # as the provider tries first
            return self.provider != "vllm"
        return self.readout != "logprobs"

    @property
    def path(self) -> str:
        """Where `body` is posted, below the base URL."""
        return self._readout.path

    @property
    def question(self) -> str:
        """The line that asks for a label word."""
        return asking(self.labels, self.ask)

    def body(self, text: str) -> dict[str, object]:
        """What is posted for label probabilities."""
        return self._told(self._readout.body([text]))

    def spoken(self, text: str) -> dict[str, object]:
        """What is posted for an answer in words."""
        return self._told(self._said.body([text]))

    @property
    def _said(self) -> Said:
        return Said(self.model, self.labels, self.system, self.ask, chat=self.chats)

    @property
    def _readout(self) -> ChatTopK | TopK | Decisions | Said:
        match self.readout:
            case "chat":
                return ChatTopK(self.model, self.labels, self.depth, self.system, self.ask)
            case "logprobs":
                return TopK(self.model, self.labels, self.depth)
            case "decisions":
                return Decisions(self.model, self.labels, self.system, self.ask)
            case "text":
                return self._said

    def _told(self, body: dict[str, object]) -> dict[str, object]:
        if self.temperature and "temperature" in body:
            body = {**body, "temperature": self.temperature}
        return body if self.manner is None or "messages" not in body else self.manner.applied(body)


def asking_of(learned: Learned, model: str | None, base_url: str | None) -> Asking:
    """How the run's model, or another one, is asked.

    Args:
        learned: the run.
        model: PROVIDER/NAME of another one, or NAME on the run's own server; None for the run's.
        base_url: of another server; None for the run's, or the provider's own.

    Raises:
        ConfigError: the name is empty.
    """
    told = learned.config.model
    own, _, name = learned.result.model.partition("/")
    mine = own if own in USUAL else None
    provider, named = _named(mine, name, model)
    same = provider == mine
    readout = _readout(learned, provider, same=same)
    notes = tuple(_notes(learned, named, mine, readout))
    said = learned.said if same and model is None else ()
    depth = next((int(found[1]) for note in said if (found := LISTED.search(note))), MOST_LISTED)
    return Asking(
        provider,
        named,
        readout,
        tuple(learned.result.labels.values()),
        base_url=base_url or (told.base_url if same else None) or HOMES.get(provider or ""),
        key=(told.api_key_env if same else None) or KEYS.get(provider or ""),
        system=learned.config.chat.system,
        ask=learned.config.chat.ask,
        manner=recalled(first_guess(named), said) if provider == "openai" else None,
        depth=depth,
        temperature=1.0 if any("asked at temperature 1" in note for note in said) else 0,
        notes=notes,
    )


def _named(mine: str | None, name: str, model: str | None) -> tuple[str | None, str]:
    if model is None:
        return mine, name if mine else UNNAMED
    if not model.strip() or model.endswith("/"):
        raise ConfigError(
            f"--model {model!r}: names no model", hint="for example --model openai/gpt-4o-mini"
        )
    provider, _, rest = model.partition("/")
    return (provider, rest) if provider in USUAL and rest else (mine, model)


def _readout(learned: Learned, provider: str | None, *, same: bool) -> Readout:
    """The run's own where it is known, token ids being of no use to others; else the usual one."""
    usual = USUAL.get(provider or "", "chat")
    match learned.readout if same else None:
        case "chat" | "logprobs" | "decisions" | "text" as found:
            return found
        case _:
            return usual


def _notes(learned: Learned, named: str, mine: str | None, readout: str) -> Iterable[str]:
    result = learned.result
    if mine is None:
        masked = result.model.startswith("roberta/") or learned.readout == "mlm"
        kind = "a masked model" if masked else "a model behind no server"
        yield (
            f"the prompt was learned on {result.model}, {kind}: the text is cut at the mask, and"
            " nothing says that the prompt helps another model; score it there first"
            " (bdpl-async transfer)"
        )
    elif named != result.model.partition("/")[2]:
        yield (
            f"the prompt was learned on {result.model}: score it on {named} before you rely on it"
            " (bdpl-async transfer)"
        )
    if named == UNNAMED:
        yield f"{UNNAMED} stands for the model: put its name there, or give --model PROVIDER/NAME"
    if learned.readout == "token-ids" and readout == "logprobs":
        yield (
            f"the run read the label words' own tokens; the body asks for the top {MOST_LISTED},"
            " which any server knows, and a label word that is not among them has no probability"
        )


def recalled(manner: Manner, notes: Iterable[str]) -> Manner:
    """`manner` with what the run's notes say that the model's refusals taught."""
    for note in notes:
        if "takes no limit below 16 tokens" in note:
            manner = replace(manner, least=16)
        elif found := WANTS.search(note):
            newer = found[1] == "max_completion_tokens"
            key: Literal["max_tokens", "max_completion_tokens"]
            key = "max_completion_tokens" if newer else "max_tokens"
            manner = replace(manner, limit_key=key)
        elif "takes no temperature of ours" in note:
            manner = replace(manner, temperature=False)
        elif "knows no reasoning_effort" in note:
            manner = replace(manner, effort=None, room=0)
        elif found := EFFORT.search(note):
            manner = replace(manner, effort=found[1], room=0 if found[1] == "none" else ROOM)
        elif 'only with reasoning_effort "none"' in note:
            manner = replace(manner, effort="none", room=0)
    return manner
