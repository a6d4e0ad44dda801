"""What `export --format promptfoo` writes, loaded and run by promptfoo itself."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.recorder import Recorder, recorder
from tests.workbench import command, rows, write_task

pytestmark = pytest.mark.tools
Capsys = pytest.CaptureFixture[str]
NASTY = '{{ 7*7 }} {% raw %} {# a #} file.txt */x \x07\u2028\ufeff "q" \\ {{ env.HOME }} é 😀 {'
ODD = ("{{ 7*7 }} {% if x %} {# c #}", '["a", 1]', "{{ broken", '{"text": 1}', "exec: ls */.txt")


@pytest.fixture(autouse=True)
def _at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("TELEMETRY", "UPDATE", "REMOTE_GENERATION", "SHARING"):
        monkeypatch.setenv(f"PROMPTFOO_DISABLE_{name}", "1")
    monkeypatch.setenv("PROMPTFOO_CONFIG_DIR", str(tmp_path / "promptfoo"))
    monkeypatch.setenv("OPENAI_API_KEY", "not-for-others")
    (tmp_path / "test.tsv").write_text(rows(4, 200))


def ran(capsys: Capsys, *changes: tuple[str, str], more: str = "") -> None:
    """A run whose data and prompt hold what promptfoo would interpret."""
    tested = ('dev = "dev.tsv"', 'dev = "dev.tsv"\ntest = "test.tsv"')
    write_task(Path(), tested, *changes, more=more)
    with Path("test.tsv").open("a") as data:
        data.writelines(f"{text}\t{place % 2}\n" for place, text in enumerate(ODD))
    arguments = ("--out", "run", "--ui", "none", "--cache", "none")
    done = command(capsys, "run", "task.toml", *arguments)
    assert done.code == 0, done.err
    file = Path("run/result.json")
    changed = orjson.loads(file.read_bytes()) | {"prompt": NASTY, "tokens": [NASTY]}
    file.write_bytes(orjson.dumps(changed))


def called(promptfoo: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [promptfoo, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )


def evaluated(promptfoo: Path, name: str) -> dict[str, Any]:
    """What `promptfoo eval` finds with a configuration of this name."""
    checked = called(promptfoo, "validate", "-c", name)
    assert "is valid" in checked.stdout + checked.stderr
    options = ("--no-cache", "--no-table", "--no-progress-bar", "-o", "out.json")
    done = called(promptfoo, "eval", "-c", name, *options)
    assert Path("out.json").is_file(), done.stdout + done.stderr
    found = json.loads(Path("out.json").read_text())["results"]
    assert isinstance(found, dict)
    return found


def texts(server: Recorder) -> set[str]:
    """The user's messages, or the prompts, that came in."""
    return {b["messages"][-1]["content"] if "messages" in b else b["prompt"] for b in server.bodies}


@pytest.mark.parametrize("name", ["promptfooconfig.yaml", "promptfooconfig.json"])
@pytest.mark.parametrize("model", ["compatible/m", "vllm/org/m", "openai/gpt-4o-mini"])
def test_it_sends_what_a_run_would(capsys: Capsys, promptfoo: Path, name: str, model: str) -> None:
    """Under both names; nothing in prompt, template, system message or data is interpreted."""
    chat = '\n[chat]\nsystem = "be {{ brief }}"\n'
    ran(capsys, ("{text} It", "{{{text}}} It"), more=chat)
    chats = model.startswith("openai/")
    with recorder(" great") as server:
        arguments = ("--model", model, "--base-url", server.url, "--examples", "9", "-o", name)
        done = command(capsys, "export", "run", "--format", "promptfoo", *arguments)
        assert done.code == 0, done.err
        found = evaluated(promptfoo, name)
    lines = Path("test.tsv").read_text().splitlines()[1:]
    asked = "\nAnswer with exactly one of: terrible, great." if chats else ""
    rows_sent = [line.split("\t")[0] for line in lines]
    expected = {
        f"{prompt}{{{text}}} It was{asked}" for text in rows_sent for prompt in (f"{NASTY} ", "")
    }
    assert texts(server) == expected
    assert found["stats"]["errors"] == 0
    right = sum(line.endswith("\t1") for line in lines)
    assert found["stats"]["successes"] == 2 * right
    if chats:
        assert server.bodies[0]["messages"][0] == {"role": "system", "content": "be {{ brief }}"}
    else:
        assert not any("not-for-others" in (key or "") for key in server.keys)


@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-5.1", "gpt-6-luna", "o3"])
def test_it_asks_in_the_manner_of_the_model(capsys: Capsys, promptfoo: Path, model: str) -> None:
    """The limit, the effort and the temperature are those of our own read-out of what is said."""
    from bdpl_providers.manner import first_guess
    from bdpl_providers.said import Said

    ran(capsys)
    with recorder(" great") as server:
        arguments = ("--model", f"openai/{model}", "--base-url", server.url, "--examples", "1")
        where = ("-o", "promptfooconfig.yaml")
        done = command(capsys, "export", "run", "--format", "promptfoo", *arguments, *where)
        assert done.code == 0, done.err
        evaluated(promptfoo, "promptfooconfig.yaml")
    body = first_guess(model).applied(Said(model, (" terrible", " great")).body(["x"]))
    for sent in server.bodies:
        assert {key: value for key, value in sent.items() if key != "messages"} == {
            key: value for key, value in body.items() if key != "messages"
        }


def test_without_rows_it_is_still_valid(capsys: Capsys, promptfoo: Path) -> None:
    """A configuration to which a user adds tests of their own."""
    ran(capsys)
    options = ("--examples", "0", "-o", "promptfooconfig.yaml")
    assert command(capsys, "export", "run", "--format", "promptfoo", *options).code == 0
    checked = called(promptfoo, "validate", "-c", "promptfooconfig.yaml")
    assert "is valid" in checked.stdout + checked.stderr
