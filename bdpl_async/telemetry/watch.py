"""One run in OpenTelemetry's terms: a span a request within one of the run, and how it stands.

Names follow the semantic conventions for generative AI. Texts, prompts and keys are never told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from bdpl_async.budget import COUNTED
from bdpl_async.channel import Exchange
from bdpl_async.config import Config
from bdpl_async.events import Evaluated, Event, Finished, Step
from bdpl_async.gate import Gate
from bdpl_async.telemetry.exporting import Exporting

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Observation
    from opentelemetry.trace import Span

__all__ = ["Watch"]

CHATS: Final = ("chat", "decisions", "text")
SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96)
TOKENS: Final = tuple(4**n for n in range(13))
Attributes = dict[str, str | int | float]


class Watch:
    """Wraps a run's exchanges, and hears its events; made once all that can be refused is.

    Args:
        exporting: the way out.
        config: of the run.
        gate: the run's.
    """

    def __init__(self, exporting: Exporting, config: Config, gate: Gate) -> None:
        provider, _, model = config.model.name.partition("/")
        self._gate = gate
        self._request: Attributes = {
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
        }
        url = urlsplit(config.model.base_url or "")
        if url.hostname:
            self._request["server.address"] = url.hostname
            self._request["server.port"] = url.port or (443 if url.scheme == "https" else 80)
        self.labels: Attributes = {
            "bdpl.task": config.task.name,
            "bdpl.method": config.optimizer.method,
            "bdpl.seed": config.run.seed,
            **self._request,
        }
        self.hits = self.steps = 0
        self.loss: float | None = None
        self.scores: dict[tuple[str, str], float] = {}
        self._tracer, self._span = exporting.tracer, None
        if exporting.instruments is None:
            exporting.instruments = _Instruments(exporting)
        self._instruments: _Instruments = exporting.instruments
        self._instruments.watches.append(self)
        if self._tracer is not None:
            self._span = self._tracer.start_span("bdpl.run", attributes=self.labels)

    @property
    def gate(self) -> Gate:
        """Of the run."""
        return self._gate

    def __call__(self, exchange: Exchange[Any]) -> Exchange[Any]:
        """The same exchange, with a span and its duration for each attempt."""

        async def watched() -> Any:
            attributes = {**self._request, "gen_ai.operation.name": self._operation}
            span, began = self._begun(attributes), time.perf_counter()
            try:
                answer = await exchange()
            except BaseException as error:
                attributes["error.type"] = type(error).__name__
                raise
            else:
                usage = answer.usage
                tokens = {"input": usage.prompt_tokens, "output": usage.completion_tokens}
                self._instruments.took(tokens, attributes)
                if span is not None:
                    for kind, count in tokens.items():
                        span.set_attribute(f"gen_ai.usage.{kind}_tokens", count)
                return answer
            finally:
                self._instruments.duration.record(time.perf_counter() - began, attributes)
                self._ended(span, attributes.get("error.type"))

        return watched

    def hear(self, event: Event) -> None:
        """Take up what a run says of itself."""
        match event:
            case Step():
                self.steps, self.loss, self.hits = event.step, event.loss, event.usage.cache_hits
            case Evaluated():
                self.scores[event.split, event.role] = event.result.score
            case Finished():
                if self._span is not None:
                    self._span.set_attribute("bdpl.stop_reason", event.result.stop_reason)
                self.close()

    def close(self) -> None:
        """The run is over."""
        if self in self._instruments.watches:
            self._instruments.watches.remove(self)
            if self._span is not None:
                self._span.end()

    @property
    def _operation(self) -> str:
        readout = self._gate.capabilities.readout
        return (
            "chat" if readout in CHATS else "fill_mask" if readout == "mlm" else "text_completion"
        )

    def _begun(self, attributes: Attributes) -> Span | None:
        if self._tracer is None or self._span is None:
            return None
        from opentelemetry.trace import SpanKind, set_span_in_context

        name = f"{attributes['gen_ai.operation.name']} {attributes['gen_ai.request.model']}"
        within = set_span_in_context(self._span)
        return self._tracer.start_span(
            name, context=within, kind=SpanKind.CLIENT, attributes=attributes
        )

    def _ended(self, span: Span | None, error: object) -> None:
        if span is None:
            return
        if error is not None:
            from opentelemetry.trace import StatusCode

            span.set_attribute("error.type", str(error))
            span.set_status(StatusCode.ERROR)
        span.end()


class _Instruments:
    """Of a process, for all its runs."""

    def __init__(self, exporting: Exporting) -> None:
        self.watches: list[Watch] = []
        meter = exporting.meter
        self.duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "Of one attempt of a request",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Of one request",
            explicit_bucket_boundaries_advisory=TOKENS,
        )
        for name, what, look in _LOOKS:
            meter.create_observable_gauge(f"bdpl.{name}", [self._looking(look)], description=what)

    def took(self, tokens: dict[str, int], attributes: Attributes) -> None:
        """Count the tokens of a request."""
        for kind, count in tokens.items():
            self._tokens.record(count, {**attributes, "gen_ai.token.type": kind})

    def _looking(self, look: Look) -> Callable[[CallbackOptions], Iterator[Observation]]:
        from opentelemetry.metrics import Observation

        def looked(_: CallbackOptions) -> Iterator[Observation]:
            for watch in [*self.watches]:  # by another thread than the run's
                for value, more in look(watch):
                    yield Observation(value, {**watch.labels, **more})

        return looked


Seen = Iterator[tuple[float, Attributes]]
Look = Callable[[Watch], Seen]


def _spent(watch: Watch) -> Seen:
    spent = watch.gate.ledger.spent
    for name in COUNTED:
        yield getattr(spent, name), {"bdpl.of": name}


def _granted(watch: Watch) -> Seen:
    for name in (*COUNTED, "seconds"):
        if (limit := getattr(watch.gate.ledger.budget, name)) is not None:
            yield limit, {"bdpl.of": name}


def _traffic(name: str) -> Look:
    def look(watch: Watch) -> Seen:
        yield getattr(watch.gate.channel.traffic, name), {}

    return look


def _flying(watch: Watch) -> Seen:
    yield watch.gate.channel.halt.flying, {}


def _waiting(watch: Watch) -> Seen:
    yield watch.gate.channel.standing.waiting, {}


def _hits(watch: Watch) -> Seen:
    yield watch.hits, {}


def _updates(watch: Watch) -> Seen:
    yield watch.steps, {}


def _loss(watch: Watch) -> Seen:
    if watch.loss is not None:
        yield watch.loss, {}


def _scores(watch: Watch) -> Seen:
    for (split, role), score in [*watch.scores.items()]:
        yield score, {"bdpl.split": split, "bdpl.role": role}


_LOOKS: Final[tuple[tuple[str, str, Look], ...]] = (
    ("spent", "Requests, prompts, tokens and USD that were paid", _spent),
    ("granted", "Limits of the budget", _granted),
    ("retries", "Requests that were sent again", _traffic("retries")),
    ("failures", "Requests and texts without a usable answer", _traffic("failures")),
    ("cache.hits", "Answers that the cache had, at the last update", _hits),
    ("requests.in_flight", "Requests that were sent and not answered", _flying),
    ("requests.waiting", "Requests that wait for leave to be sent", _waiting),
    ("updates", "Updates done", _updates),
    ("loss", "Mean loss of the last update's prompts", _loss),
    ("score", "Of a prompt on a split, as a fraction", _scores),
)
