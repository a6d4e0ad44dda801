"""Numbers in few characters, so that columns of them stay where they are. Pure."""

from __future__ import annotations

__all__ = ["amount", "brief", "clock", "money", "number", "span"]

LARGE = 10_000_000


def brief(count: float) -> str:
    """``1,234``; from ten million on ``12.3M``."""
    if count < LARGE:
        return f"{count:,.0f}"
    for size, name in ((1e12, "T"), (1e9, "G")):
        if count >= size:
            return f"{count / size:,.1f}{name}"
    return f"{count / 1e6:,.1f}M"


def money(usd: float) -> str:
    """``$0.0123``, and from a hundred dollars on to the cent."""
    return f"${usd:,.2f}" if usd >= 100 else f"${usd:.4f}"


def amount(name: str, value: float) -> str:
    """So much of a limit of a budget."""
    return money(value) if name == "usd" else brief(value)


def number(value: float) -> str:
    """``0.123``, ``12.35``, ``1,234``: about four digits, never a minus zero."""
    size = abs(value)
    places = 3 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0
    return f"{round(value, places) + 0.0:,.{places}f}" if size < 1e6 else f"{value:.1e}"


def clock(seconds: float) -> str:
    """``0:07``, ``12:34``, ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def span(seconds: float | None) -> str:
    """A latency: ``2.1 ms``, ``123 ms``, ``1.23 s``, ``45.0 s``; nothing of what is not known."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms" if seconds >= 0.1 else f"{1000 * seconds:.1f} ms"
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
