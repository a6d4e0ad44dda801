"""What `export --format dspy` writes, imported and asked by DSPy itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from tests.recorder import recorder
from tests.workbench import command, write_task

pytestmark = pytest.mark.tools
Capsys = pytest.CaptureFixture[str]
NASTY = 'a\'b"""\\n{{ 7*7 }} {text} \x07\u2028 é 😀 \\'
ASKING = """
import asyncio, json, sys
import dspy
import learned

url, columns = sys.argv[1], json.loads(sys.argv[2])
dspy.configure(lm=dspy.LM("openai/m", api_base=url, api_key="none", cache=False))
said = learned.Classifier()(**columns).label
later = asyncio.run(learned.Classifier().acall(**columns)).label
fields = list(learned.Classify.input_fields), list(learned.Classify.output_fields)
learned.predict.save("predict.json")
try:
    learned.AsLearned().parse(learned.Classify, "neither")
    strange = "taken"
except dspy.utils.exceptions.AdapterParseError:
    strange = "refused"
words = {
    "said": said, "later": later, "value": learned.LABELS[said], "fields": fields,
    "strange": strange, "instructions": learned.Classify.instructions,
    "loud": learned.AsLearned().parse(learned.Classify, " **Terrible.** It was"),
}
print(json.dumps(words))
"""
PREDICTING = """
import sys
import dspy
import learned

url = sys.argv[1]
dspy.configure(lm=dspy.LM("openai/m", api_base=url, api_key="none", cache=False))
demo = dspy.Example(text="a demo", label="great").with_inputs("text")
classify = learned.Classifier()
classify.predict.demos = [demo]
classify(text="warm soup")
try:
    learned.predict(text="warm soup")
except Exception as error:
    print(type(error).__name__)
"""


@pytest.fixture(autouse=True)
def _at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def module(capsys: Capsys, *changes: tuple[str, str], prompt: str = NASTY, more: str = "") -> None:
    """A run's export as learned.py."""
    write_task(Path(), *changes, more=more)
    for name in ("train.tsv", "dev.tsv"):
        if changes:
            rows = Path(name).read_text()
            Path(name).write_text(rows.replace("text\tlabel", "json\tlabel"))
    arguments = ("--out", "run", "--ui", "none", "--cache", "none")
    done = command(capsys, "run", "task.toml", *arguments)
    assert done.code == 0, done.err
    file = Path("run/result.json")
    changed = orjson.loads(file.read_bytes()) | {"prompt": prompt, "tokens": [prompt]}
    file.write_bytes(orjson.dumps(changed))
    done = command(capsys, "export", "run", "--format", "dspy", "-o", "learned.py")
    assert done.code == 0, done.err


def told(dspy: Path, script: str, *arguments: str) -> str:
    """What the script prints."""
    done = subprocess.run(
        [dspy, "-W", "error::UserWarning:learned", "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": ".", "DSPY_CACHEDIR": "cache"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("system", [None, "be {{ brief }}"])
def test_it_asks_as_the_run_asked(capsys: Capsys, dspy: Path, system: str | None) -> None:
    """The very text of the run travels, whatever the prompt holds; the answer is a label word."""
    more = "" if system is None else f'\n[chat]\nsystem = "{system}"\n'
    module(capsys, more=more)
    with recorder(" great") as server:
        words = orjson.loads(told(dspy, ASKING, server.url, '{"text": "{text} soup"}'))
    ask = "Answer with exactly one of: terrible, great."
    user = {"role": "user", "content": f"{NASTY} {{text}} soup It was\n{ask}"}
    first = [] if system is None else [{"role": "system", "content": system}]
    assert [body["messages"] for body in server.bodies] == [[*first, user]] * 2
    assert (words["said"], words["later"], words["value"]) == ("great", "great", "1")
    assert words["fields"] == [["text"], ["label"]]
    assert words["instructions"] == f"{NASTY}\n{ask}"
    assert words["strange"] == "refused"
    assert words["loud"] == {"label": "terrible"}
    assert Path("predict.json").is_file()


def test_a_column_that_python_cannot_name_gets_another_name(capsys: Capsys, dspy: Path) -> None:
    """`json` is taken by pydantic; the field beside it says which column it is."""
    module(capsys, ("{prompt} {text} It", "{prompt} {json} It"), prompt="hm")
    with recorder(" great") as server:
        words = orjson.loads(told(dspy, ASKING, server.url, '{"json_text": "soup"}'))
    assert words["fields"][0] == ["json_text"]
    assert server.bodies[0]["messages"][0]["content"].startswith("hm soup It was\n")


def test_demonstrations_and_other_adapters_work(capsys: Capsys, dspy: Path) -> None:
    """Demos become turns before the question; `predict` is asked in DSPy's own words."""
    module(capsys, prompt="hm")
    with recorder(" great") as server:
        told(dspy, PREDICTING, server.url)
    turns = [message["role"] for message in server.bodies[0]["messages"]]
    assert turns == ["user", "assistant", "user"]
    assert server.bodies[0]["messages"][0]["content"].startswith("hm a demo It was\n")
    own = server.bodies[1]["messages"]
    assert own[0]["role"] == "system"
    assert "hm" in own[0]["content"]


def test_the_source_is_clean(capsys: Capsys) -> None:
    """It passes ruff's usual rules, whatever the prompt holds."""
    module(capsys)
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "learned.py"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
