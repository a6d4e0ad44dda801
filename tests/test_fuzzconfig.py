"""TASK.toml as an enemy would write it: a task, or a message that names the file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from pathlib import Path

import pytest
import tomli_w
from hypothesis import example, given
from hypothesis import strategies as st

from bdpl_async.config import Config
from tests.hostile import ALL, SPELLS, TEXTS, examples, mutated, plain
from tests.workbench import TASK, command, write_task

Capsys = pytest.CaptureFixture[str]

SCALARS = (
    TEXTS
    | st.sampled_from([0, -1, 1, 2**31, 2**63 - 1, 2**63, -(2**64), 10**400])
    | st.sampled_from([0.0, -0.0, 1e308, 5e-324, float("nan"), float("inf"), -float("inf")])
    | st.booleans()
    | st.sampled_from([date(1, 1, 1), time(0, 0), datetime(9999, 12, 31, 23, 59, 59)])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=4,
)
KEYS = [
    f"{table}.{key}"
    for table, field in Config.model_fields.items()
    if isinstance(field.annotation, type) and hasattr(field.annotation, "model_fields")
    for key in field.annotation.model_fields
]
PIECES = st.sampled_from(
    [
        b"[" * 3000,
        b"{a=" * 3000,
        b".a" * 3000,
        b"9" * 5000,
        b"0x" + b"f" * 5000,
        b"1e999999999",
        b"-inf",
        b'"\\U00110000"',
        b'"\\ud800"',
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\0",
        b"\x1b[2J",
        b'"""',
        b"'''",
        b"[[models]]\n",
        b"[task]\n",
        b"\n",
        b"\r",
        b"=",
        b"1979-05-27T07:32:00-99:99",
        "\u202e".encode(),
        *[spell.encode() for spell in SPELLS],
    ]
) | st.binary(max_size=6)


class Bench:
    """A task of two files in one folder, asked what it would cost; that sends nothing."""

    def __init__(self, folder: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder)
        self.path, self._capsys = write_task(folder), capsys

    def holds(self, raw: bytes) -> None:
        """The task is estimated, or refused in a few plain lines that name the file."""
        self.path.write_bytes(raw)
        done = command(self._capsys, "estimate", "task.toml", "--max-prompts", "500")
        assert plain(done.err), done.err
        assert plain(done.out, lines=200), done.out
        assert done.code in (0, 2, 3, 4)
        assert (done.code == 0) == (not done.err or "bdpl-async: " not in done.err), done
        if done.code == 2:
            assert not done.out
            assert done.err.startswith("bdpl-async: ")
        assert not Path("runs").exists()


@pytest.fixture
def bench(tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, capsys, monkeypatch)


@examples(40)
@given(raw=mutated(TASK.encode(), PIECES) | st.binary(max_size=300))
def test_any_bytes_are_a_task_or_a_message(bench: Bench, raw: bytes) -> None:
    """Bytes of any kind in a TASK.toml, random or worked into a good one, bring no traceback."""
    bench.holds(raw)


@examples(60)
@given(key=st.sampled_from(KEYS) | TEXTS, value=VALUES)
@example(key="task.name", value=ALL)
@example(key="task.template", value="{prompt} {text} {mask}" + ALL)
def test_any_value_under_any_key(bench: Bench, key: str, value: object) -> None:
    """Whatever a key holds, text of every kind or a thing of another type, is taken or refused."""
    import tomllib

    tables = tomllib.loads(TASK)
    table, _, name = key.partition(".")
    inner = tables.setdefault(table, {})
    if name and isinstance(inner, dict):
        inner[name] = value
    else:
        tables[table] = value
    bench.holds(_spelled(tables))


@examples(30)
@given(words=st.dictionaries(TEXTS, TEXTS, max_size=4), name=TEXTS)
def test_any_label_words(bench: Bench, words: Mapping[str, str], name: str) -> None:
    """Label values and words of every kind of character are taken or refused."""
    import tomllib

    tables = tomllib.loads(TASK)
    tables["task"] |= {"labels": {"0": " bad", "1": " good", **words}, "name": name}
    bench.holds(_spelled(tables))


def _spelled(tables: Mapping[str, object]) -> bytes:
    return tomli_w.dumps(tables).encode()
