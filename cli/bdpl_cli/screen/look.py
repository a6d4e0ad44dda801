"""What the screen is drawn with: characters that the terminal can show, and a few calm colours.

Every colour has a middling luminance, so that it reads on light and on dark backgrounds; whatever
a colour says is said by weight or by a character as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bdpl_cli.plaintext import clean

__all__ = ["ACCENT", "ALERT", "ASCII", "BLOCKS", "FAINT", "GOOD", "STRONG", "WARM", "Look"]

STRONG: Final = "bold"
FAINT: Final = "dim"
ACCENT: Final = "color(31)"  # blue-green
WARM: Final = "color(130)"  # brown
GOOD: Final = "color(65)"  # green
ALERT: Final = "bold color(161)"  # red
JOINERS: Final = {0x200D: None, 0xFE0F: None}  # terminals disagree on how wide they make others


@dataclass(frozen=True, slots=True)
class Look:
    """The characters of a terminal.

    Attributes:
        steps: of a sparkline, from low to high.
        spent, held, free, kept: of a budget's bar.
        rule: of a line across, and `wall`, of one between columns.
        more: stands for what was cut off.
        encoding: what cannot be said in it becomes a question mark.
    """

    steps: str
    spent: str
    held: str
    free: str
    kept: str
    rule: str
    wall: str
    more: str
    encoding: str

    @classmethod
    def of(cls, encoding: str | None, terminal: str = "") -> Look:
        """Blocks where the encoding has them, else ASCII; the Linux console lacks most blocks."""
        drawn = "".join(map(str, BLOCKS))
        try:
            drawn.encode(encoding or "ascii")
        except (UnicodeEncodeError, LookupError):
            return cls(*ASCII, encoding=_known(encoding))
        return cls(*(ASCII if terminal == "linux" else BLOCKS), encoding=_known(encoding))

    def safe(self, text: str) -> str:
        """Text from elsewhere in one line, with nothing that a terminal obeys or cannot show."""
        shown = clean(text).translate(JOINERS)
        return shown.encode(self.encoding, "replace").decode(self.encoding)


BLOCKS: Final = ("▁▂▃▄▅▆▇█", "█", "▓", "·", "░", "─", "│", "…")
ASCII: Final = ("_.,-=+*#", "#", "=", ".", "o", "-", "|", "...")


def _known(encoding: str | None) -> str:
    try:
        return encoding if encoding and "".encode(encoding) == b"" else "ascii"
    except LookupError:
        return "ascii"
