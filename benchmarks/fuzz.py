"""Bytes that find their own way in: coverage-guided fuzzing of whatever reads what others wrote.

    python3 -m venv fuzz && fuzz/bin/pip install -c constraints.txt . atheris
    fuzz/bin/python benchmarks/fuzz.py reply -max_total_time=300

Targets: config, tsv, csv, jsonl, parquet (with pyarrow), reply, complaint, row, event, words.
Further arguments are libFuzzer's; a folder among them holds good examples to begin with, and keeps
what was found on the way. A finding is an exception that is none of ours, a message with control
characters, or a hang (-timeout=10).
"""

from __future__ import annotations

import os
import sys
import tempfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["bdpl_async", "bdpl_providers", "bdpl_cli", "tomllib"]):
    import orjson
    from multidict import CIMultiDict

    from bdpl_async.caching.row import unpacked
    from bdpl_async.config import load_config
    from bdpl_async.data.datafile import raw_rows, read_rows
    from bdpl_async.errors import BdplError, DataError
    from bdpl_async.history import from_json
    from bdpl_async.markup import UNSEEN, clean, html, tag
    from bdpl_async.studies.spreadsheet import shown
    from bdpl_async.template import Template
    from bdpl_cli.plaintext import escaped
    from bdpl_providers.chat import ChatTopK
    from bdpl_providers.completions import TokenIds, TopK
    from bdpl_providers.decisions import Decisions
    from bdpl_providers.replies import Peer, answer
    from bdpl_providers.said import Said

FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-"))
LABELS = (" Yes", " No")
READOUTS = (
    TokenIds("m", (1, 2)),
    TopK("m", LABELS, 20),
    ChatTopK("m", LABELS),
    Said("m", LABELS),
    Decisions("m", LABELS),
)


def told(error: BdplError, name: Path | None = None) -> None:
    """A message names its file and has nothing that a terminal obeys."""
    assert not UNSEEN.search(str(error)), repr(str(error))
    assert name is None or str(name) in str(error), str(error)


def config(raw: bytes) -> None:
    """TASK.toml."""
    path = FOLDER / "task.toml"
    path.write_bytes(raw)
    try:
        found = load_config(path)
    except BdplError as error:
        told(error, path)
    else:
        path.write_text(found.to_toml(), encoding="utf-8")
        assert load_config(path) == found


def data(kind: str) -> Callable[[bytes], None]:
    """A data file of a kind."""
    path = FOLDER / f"a.{kind}"

    def read(raw: bytes) -> None:
        path.write_bytes(raw)
        for reader in (lambda: read_rows(path, ["text", "label"]), lambda: list(raw_rows(path))):
            try:
                reader()
            except DataError as error:
                told(error, path)

    return read


def reply(raw: bytes) -> None:
    """A good status and any body, read in every way."""
    try:
        found = judged(200, raw)
    except BdplError as error:
        told(error)
        return
    for readout in READOUTS:
        (outcome,) = readout.scores(found.document, 1)
        if isinstance(outcome, BdplError):
            told(outcome)


def complaint(raw: bytes) -> None:
    """A bad status and any body."""
    try:
        judged((400, 404, 429, 500, 503)[len(raw) % 5], raw)
    except BdplError as error:
        told(error)


def judged(status: int, raw: bytes) -> object:
    """What the client makes of a reply."""
    peer = Peer("vllm/m", ("sk-verysecretkey0123456789",))
    return answer(status, CIMultiDict(), raw, peer=peer, asked="POST /x", clock=lambda: 1.8e9)


def row(raw: bytes) -> None:
    """A row of the cache whose checksum is right."""
    unpacked(b"key", raw, zlib.crc32(raw, zlib.crc32(b"key")))


def event(raw: bytes) -> None:
    """A line of an event log."""
    with suppress(orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        from_json(orjson.loads(raw))


def words(raw: bytes) -> None:
    """Text as a template, in a page, in a cell and in JSON."""
    text = raw.decode("utf-8", "ignore")
    with suppress(BdplError):
        Template.parse(text).render(text, {name: text for name in Template.parse(text).columns})
    assert not UNSEEN.search(html(tag("p", text, title=text)))
    assert not UNSEEN.search(clean(text))
    assert orjson.loads(escaped(orjson.dumps(text))) == text
    assert str(shown(text)).replace("'", "") == text.replace("'", "")


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "config": config,
    **{kind: data(kind) for kind in ("tsv", "csv", "jsonl", "parquet")},
    "reply": reply,
    "complaint": complaint,
    "row": row,
    "event": event,
    "words": words,
}


def main() -> None:
    """Fuzz one target until it is stopped or something is found."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        raise SystemExit(f"which? {' '.join(TARGETS)}")
    target = TARGETS[sys.argv.pop(1)]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    atheris.Setup([*sys.argv, "-timeout=10", "-rss_limit_mb=2000"], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
