"""Where telemetry goes: ``otlp``, ``prometheus:PORT``, ``prometheus:HOST:PORT``, or both. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from bdpl_async.errors import ConfigError

__all__ = ["Setting"]

HINT = "otlp, prometheus:PORT or prometheus:HOST:PORT, several with commas between"
HERE = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Setting:
    """What ``run.telemetry`` says.

    Attributes:
        otlp: traces and metrics are sent, as the OTEL_ variables of the environment say.
        prometheus: host and port of an endpoint that gives metrics; None for none.
    """

    otlp: bool = False
    prometheus: tuple[str, int] | None = None

    @classmethod
    def of(cls, text: str) -> Self:
        """What `text` says.

        Raises:
            ConfigError: it says something else.
        """
        otlp, prometheus = False, None
        for word in text.split(","):
            kind, _, rest = word.strip().partition(":")
            if kind == "otlp" and not rest and not otlp:
                otlp = True
            elif kind == "prometheus" and prometheus is None:
                prometheus = _place(rest)
            else:
                raise ConfigError(f"run.telemetry: {word.strip()[:60]!r} is not known", hint=HINT)
        return cls(otlp, prometheus)


def _place(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ConfigError(f"run.telemetry: {text[:60]!r} is no port", hint=HINT)
    return host.strip("[]") or HERE, int(port)
