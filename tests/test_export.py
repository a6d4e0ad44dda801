"""``bdpl-async export``: what each format holds, where it goes, and what is refused."""

from __future__ import annotations

import ast
import itertools
import json
import os
import stat
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest

from bdpl_cli.exports.asking import recalled
from bdpl_cli.exports.learned import Column, marks
from bdpl_providers.manner import first_guess, relearned
from tests.recorder import Recorder, recorder
from tests.workbench import command, rows, write_task

Capsys = pytest.CaptureFixture[str]
FORMATS = ("text", "json", "openai", "promptfoo", "dspy")
NASTY = 'a\'b"""\\n{{ 7*7 }} {% raw %} {text} ${HOME} \x07\u2028 #} é 😀'


@pytest.fixture(autouse=True)
def _at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "test.tsv").write_text(rows(16, 200))


def ran(capsys: Capsys, *changes: tuple[str, str], more: str = "", method: str = "bdpl") -> Path:
    """A finished run."""
    write_task(Path(), *changes, more=more)
    arguments = ("--out", "run", "--ui", "none", "--cache", "none", "--method", method)
    done = command(capsys, "run", "task.toml", *arguments)
    assert done.code == 0, done.err
    return Path("run")


def served(capsys: Capsys, server: Recorder, model: str, *options: str, more: str = "") -> None:
    """A finished run on a server."""
    write_task(Path(), ("simulated/x", model), more=more)
    told = ("--base-url", server.url, "--out", "run", "--ui", "none", "--cache", "none")
    done = command(capsys, "run", "task.toml", *told, *options)
    assert done.code == 0, done.err


def exported(capsys: Capsys, kind: str, *options: str) -> str:
    done = command(capsys, "export", "run", "--format", kind, *options)
    assert done.code == 0, done.err
    return done.out


def edit(**changes: object) -> None:
    """Change keys of result.json."""
    file = Path("run/result.json")
    file.write_bytes(orjson.dumps(orjson.loads(file.read_bytes()) | changes))


def filled(document: object, text: str) -> Any:
    """A body with a row in place of its mark."""
    match document:
        case dict():
            return {key: filled(value, text) for key, value in document.items()}
        case list():
            return [filled(value, text) for value in document]
        case str():
            return document.replace("{text}", text)
    return document


def test_text_is_the_prompt_alone(capsys: Capsys) -> None:
    """By default stdout has the prompt as it was sent, a line break, and nothing else."""
    ran(capsys)
    done = command(capsys, "export", "run")
    prompt = orjson.loads(Path("run/result.json").read_bytes())["prompt"]
    assert (done.code, done.out, done.err) == (0, f"{prompt}\n", "")


def test_json_is_enough_to_use_the_prompt_without_us(capsys: Capsys) -> None:
    """Filling `filled` gives the text that the run sent; labels, scores and offsets are there."""
    ran(capsys, ('dev = "dev.tsv"', 'dev = "dev.tsv"\ntest = "test.tsv"'), method="calibration")
    found = orjson.loads(exported(capsys, "json"))
    result = orjson.loads(Path("run/result.json").read_bytes())
    for name in ("prompt", "tokens", "template", "labels", "task", "model", "method", "gain"):
        assert found[name] == result[name]
    assert found["filled"] == {"before": "{text} It was ", "after": "."}
    assert found["words"] == {"terrible": "0", "great": "1"}
    assert found["scores"]["test"] == result["test"]
    assert found["scores"]["baseline"]["dev"] == result["baseline"]["dev"]
    offsets = dict(zip(result["labels"].values(), result["calibration"]["offsets"], strict=True))
    assert found["calibration"] == {"kind": "batch", "offsets": offsets}
    assert (found["metric"], found["schema"]) == ("accuracy", 1)


@pytest.mark.parametrize(
    ("model", "options", "path"),
    [
        ("openai/gpt-4o-mini", (), "/chat/completions"),
        ("openai/gpt-5.1", (), "/chat/completions"),
        ("openai/gpt-4o-mini", ("--readout", "text"), "/chat/completions"),
        ("compatible/m", ("--readout", "logprobs"), "/completions"),
        ("compatible/m", ("--readout", "chat"), "/chat/completions"),
        ("vllm/m", ("--readout", "logprobs"), "/completions"),
    ],
)
def test_the_body_is_the_one_that_the_run_sent(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch, model: str, options: tuple[str, ...], path: str
) -> None:
    """With a row in place of its mark, the body is among those that the server saw."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-a-key")
    chat = '\n[chat]\nsystem = "be brief"\nask = "one of: terrible, great"\n'
    with recorder(" great", " terrible") as server:
        served(capsys, server, model, *options, "--batch-prompts", "1", more=chat)
        done = command(capsys, "export", "run", "--format", "openai")
    body = orjson.loads(done.out)
    row = Path("dev.tsv").read_text().splitlines()[1].split("\t")[0]
    sent = [one for one, at in zip(server.bodies, server.paths, strict=True) if at.endswith(path)]
    assert any(filled(body, row) == plain(one) for one in sent)
    assert f"post it to {server.url}{path}" in done.err
    assert "'terrible' is '0', 'great' is '1'" in done.err
    assert "sk-not-a-key" not in done.out + done.err


def plain(body: dict[str, Any]) -> dict[str, Any]:
    """Without what only our reading of token ids wants."""
    return {key: value for key, value in body.items() if key != "return_tokens_as_token_ids"}


def test_the_openai_sdk_posts_the_body_as_it_is(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What export prints are arguments of the SDK, and its answer can be read as the notes say."""
    ran(capsys)
    body = orjson.loads(exported(capsys, "openai", "--model", "openai/gpt-5.1"))
    with recorder("great", "terrible") as server:
        client = openai.OpenAI(base_url=server.url, api_key="none", max_retries=0)
        with client:
            answer = client.chat.completions.create(**filled(body, "warm soup"))
    assert server.bodies == [filled(body, "warm soup")]
    assert body["max_completion_tokens"] == 4
    assert body["reasoning_effort"] == "none"
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert [one.token for one in logprobs.content[0].top_logprobs] == ["great", "terrible"]


def test_a_model_without_a_server_is_left_open(capsys: Capsys) -> None:
    """The text is cut at the mask, the contract's chat form asks, and notes say what is missing."""
    ran(capsys)
    done = command(capsys, "export", "run", "--format", "openai")
    body = orjson.loads(done.out)
    assert body["model"] == "YOUR-MODEL"
    (message,) = body["messages"]
    prompt = orjson.loads(Path("run/result.json").read_bytes())["prompt"]
    ask = "Answer with exactly one of: terrible, great."
    assert message == {"role": "user", "content": f"{prompt} {{text}} It was\n{ask}"}
    assert "learned on simulated/x" in done.err
    assert "--model" in done.err


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("openai/gpt-4o", "gpt-4o"),
        ("gpt-4o", "gpt-4o"),
        ("vllm/Qwen/Qwen3-4B", "Qwen/Qwen3-4B"),
        ("Qwen/Qwen3-4B", "Qwen/Qwen3-4B"),
    ],
)
def test_another_model_is_named_with_or_without_its_provider(
    capsys: Capsys, given: str, named: str
) -> None:
    """--model says whose dialect; a completions model is sent the text alone."""
    ran(capsys)
    body = orjson.loads(exported(capsys, "openai", "--model", given))
    assert body["model"] == named
    assert ("prompt" in body) == given.startswith("vllm/")


def test_what_the_probe_learned_holds() -> None:
    """Each lesson's note gives back the manner that the lesson led to."""
    refusals = (
        "could not finish the message because max_tokens or model output limit was reached",
        "unsupported parameter: 'max_tokens' is not supported, use 'max_completion_tokens'",
        "unsupported parameter: max_completion_tokens",
        "unsupported value: 'temperature' does not support 0",
        "unrecognized request argument supplied: reasoning_effort",
        "reasoning_effort 'none' is not supported. supported values are: 'low' and 'high'",
        "logprobs are not supported with reasoning",
    )
    seen: set[str] = set()
    for model, refusal in itertools.product(("gpt-4o", "gpt-5", "gpt-5.1", "o3"), refusals):
        guess = first_guess(model)
        if (taught := relearned(guess, refusal)) is None:
            continue
        better, note = taught
        seen |= better.learned
        assert recalled(guess, [f"openai/{model}: {note}"]).spelled() == better.spelled()
    assert seen == {"length", "limit", "temperature", "effort", "thinking"}


def test_marks_look_like_nothing_else() -> None:
    """Where the text itself has such a mark, the marks grow braces until none is mistaken."""
    assert marks(("a ", Column("text")), "") == {"text": "{text}"}
    assert marks(("say {text} ", Column("text")), "") == {"text": "{{text}}"}
    assert marks((Column("text"),), "ask about {{text}}") == {"text": "{{{text}}}"}


@pytest.mark.parametrize("kind", ["json", "openai", "promptfoo", "dspy"])
def test_whatever_a_prompt_holds_stays_text(capsys: Capsys, kind: str) -> None:
    """Quotes, braces, escapes and controls leave every document readable and whole."""
    ran(capsys)
    edit(prompt=NASTY, tokens=[NASTY])
    document = exported(capsys, kind)
    if kind == "dspy":
        tree = ast.parse(document)
        constants = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
        assert NASTY in constants
        compile(tree, "exported", "exec")
        return
    found = json.loads(document)
    if kind == "json":
        assert found["prompt"] == NASTY
        assert found["filled"]["before"].replace(found["marks"]["text"], "x").startswith(NASTY)
    elif kind == "openai":
        content = found["messages"][0]["content"]
        assert content.startswith(f"{NASTY} {{{{text}}}} It was\n")
    else:
        raw = json.loads(found["prompts"][0]["raw"])[0]["content"]
        assert '{{ "{" }}{ 7*7 }}' in raw
        plain_text = raw.replace('{{ "{" }}', "{").replace('{{ "#" }}', "#")
        assert plain_text.startswith(f"{NASTY} {{{{ text }}}}")


def test_promptfoo_tries_rows_of_each_class(capsys: Capsys) -> None:
    """--examples N gives N of test, or else of dev, each with its label word expected; 0 none."""
    ran(capsys, ('dev = "dev.tsv"', 'dev = "dev.tsv"\ntest = "test.tsv"'))
    found = json.loads(exported(capsys, "promptfoo", "--examples", "2"))
    assert [prompt["label"] for prompt in found["prompts"]] == ["learned", "empty"]
    classes = ["good" in one["vars"]["text"] for one in found["tests"]]
    assert sorted(classes) == [False, False, True, True]
    for one, good in zip(found["tests"], classes, strict=True):
        assert ("[Gg]reat" if good else "[Tt]errible") in one["assert"][0]["value"]
        assert one["description"].startswith("test ")
    done = command(capsys, "export", "run", "--format", "promptfoo", "--examples", "0")
    assert json.loads(done.out)["tests"] == []
    assert "no rows" in done.err


def test_promptfoo_without_the_data_says_so(capsys: Capsys) -> None:
    """Rows that changed or are gone are left out with a note; the rest stands."""
    ran(capsys)
    Path("dev.tsv").unlink()
    done = command(capsys, "export", "run", "--format", "promptfoo")
    assert done.code == 0
    assert json.loads(done.out)["tests"] == []
    assert "dev.tsv" in done.err


def test_promptfoo_fills_in_no_name_of_a_model(capsys: Capsys) -> None:
    """A name or an address that it would take for a template, which reads variables, is refused."""
    ran(capsys)
    for option, text in (("--model", "openai/{{env.HOME}}"), ("--base-url", "http://x/{% y %}")):
        told = ("--model", "vllm/x", option, text) if option == "--base-url" else (option, text)
        done = command(capsys, "export", "run", "--format", "promptfoo", *told)
        assert (done.code, done.out) == (2, "")
        assert "braces" in done.err


def test_rows_that_promptfoo_would_fetch_are_passed_over(capsys: Capsys) -> None:
    """A text that names a file or a setting never stands in the configuration."""
    write_task(Path())
    bad = [f"file:///etc/{n}\t1" for n in range(3)] + ["{{ env.HOME }}\t0", "{{ text }} x\t0"]
    Path("dev.tsv").write_text(rows(8, 100) + "\n".join(bad) + "\n")
    arguments = ("--out", "run", "--ui", "none", "--cache", "none")
    assert command(capsys, "run", "task.toml", *arguments).code == 0
    done = command(capsys, "export", "run", "--format", "promptfoo", "--examples", "9")
    texts = [one["vars"]["text"] for one in json.loads(done.out)["tests"]]
    assert len(texts) == 8
    assert not any("file:" in text or "{{" in text for text in texts)
    assert "5 rows that promptfoo would take for files" in done.err


def test_no_key_of_openai_goes_to_another_server(capsys: Capsys) -> None:
    """promptfoo falls back to OPENAI_API_KEY; a server of one's own is given another key."""
    ran(capsys)
    for model, key in {
        "vllm/m": "{{ env.VLLM_API_KEY or 'none' }}",
        "compatible/m": "none",
    }.items():
        arguments = ("--model", model, "--base-url", "http://127.0.0.1:1/v1")
        (provider,) = json.loads(exported(capsys, "promptfoo", *arguments))["providers"]
        assert provider["config"]["apiKey"] == key
        assert provider["config"]["apiBaseUrl"] == "http://127.0.0.1:1/v1"
    (provider,) = json.loads(exported(capsys, "promptfoo", "--model", "openai/gpt-4o"))["providers"]
    assert provider["id"] == "openai:chat:gpt-4o"
    assert provider["config"]["apiKeyEnvar"] == "OPENAI_API_KEY"
    assert "apiBaseUrl" not in provider["config"]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_is_private_and_whole(capsys: Capsys, kind: str) -> None:
    """-o writes what stdout would have had, for the user alone, and stdout stays empty."""
    ran(capsys)
    printed = exported(capsys, kind)
    done = command(capsys, "export", "run", "--format", kind, "-o", "out.file")
    assert (done.code, done.out) == (0, "")
    assert Path("out.file").read_text(encoding="utf-8") == printed
    assert stat.S_IMODE(os.stat("out.file").st_mode) == 0o600


@pytest.mark.parametrize("kind", FORMATS)
def test_no_other_file_is_overwritten(capsys: Capsys, kind: str) -> None:
    """Exit 2 where FILE holds something else; an earlier export, or with --force any, gives way."""
    ran(capsys)
    Path("mine").write_text("mine")
    done = command(capsys, "export", "run", "--format", kind, "-o", "mine")
    assert (done.code, done.out) == (2, "")
    assert "mine: holds something else" in done.err
    assert Path("mine").read_text() == "mine"
    again = ("export", "run", "--format", kind, "-o", "ours")
    assert command(capsys, *again).code == command(capsys, *again).code == 0
    edit(prompt="another", tokens=["another"])
    marked = kind in ("json", "promptfoo", "dspy")
    assert command(capsys, *again).code == (0 if marked else 2)
    assert command(capsys, *again, "--force").code == 0
    assert "another" in Path("ours").read_text()


def test_a_run_that_was_cut_off_gives_its_best_guess_with_a_note(capsys: Capsys) -> None:
    """What has learned nothing yet, or has no result, is refused with the way to go on."""
    ran(capsys)
    edit(stop_reason="interrupted")
    done = command(capsys, "export", "run")
    assert done.code == 0
    assert "cut off" in done.err
    edit(steps_done=0)
    done = command(capsys, "export", "run")
    assert (done.code, done.out) == (2, "")
    assert "bdpl-async resume run" in done.err
    Path("run/result.json").unlink()
    done = command(capsys, "export", "run")
    assert (done.code, done.out) == (2, "")
    assert "no result yet" in done.err


def test_a_comparison_names_its_runs(capsys: Capsys) -> None:
    """The folder of several runs is no run; which there are is told."""
    ran(capsys)
    Path("many").mkdir()
    Path("run").rename("many/one")
    Path("many/comparison.json").write_text("{}")
    done = command(capsys, "export", "many")
    assert (done.code, done.out) == (2, "")
    assert "many/one" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "nowhere"),
        (("run", "--format", "yaml"), "yaml"),
        (("run", "--model", "openai/x"), "--model"),
        (("run", "--format", "json", "--base-url", "http://127.0.0.1:1"), "--base-url"),
        (("run", "--format", "openai", "--model", "openai/"), "names no model"),
        (("run", "--format", "promptfoo", "--examples", "-1"), "--examples -1"),
        (("run", "-o", "nowhere/file"), "nowhere/file"),
        (("run", "-o", "run"), "is no file"),
    ],
)
def test_bad_input_is_refused_by_name(
    capsys: Capsys, arguments: tuple[str, ...], message: str
) -> None:
    """Exit 2 and one message; nothing on stdout."""
    ran(capsys)
    done = command(capsys, "export", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_prompt_behind_the_mask_is_for_text_and_json_only(capsys: Capsys) -> None:
    """What other models could not read is refused, with what to do."""
    ran(capsys)
    toml = Path("run/run.toml")
    mask_first = toml.read_text().replace(
        "{prompt} {text} It was {mask}.", "{mask}: {prompt} {text}"
    )
    toml.write_text(mask_first)
    done = command(capsys, "export", "run", "--format", "openai")
    assert (done.code, done.out) == (2, "")
    assert "task.causal" in done.err
    assert command(capsys, "export", "run").code == 0


def test_notes_fit_80_columns(capsys: Capsys) -> None:
    """Every line that need not be copied whole fits."""
    ran(capsys)
    for kind in FORMATS:
        done = command(capsys, "export", "run", "--format", kind)
        assert max(map(len, done.err.splitlines()), default=0) <= 80


def test_filled_is_the_text_as_sent(capsys: Capsys) -> None:
    """A causal model reads up to the mask, without the space before it."""
    with recorder(" great", " terrible") as server:
        served(capsys, server, "vllm/fake")
    assert orjson.loads(exported(capsys, "json"))["filled"]["before"].endswith("{text} It was")


def test_what_is_saved_already_need_not_be_saved(capsys: Capsys) -> None:
    """With -o the note says how to use that very file; on stdout, how to save it."""
    ran(capsys)
    for kind, file, use in (
        ("promptfoo", "promptfooconfig.yaml", "npx promptfoo eval -c promptfooconfig.yaml"),
        ("promptfoo", "my file.json", "npx promptfoo eval -c 'my file.json'"),
        ("dspy", "learned.py", "import Classifier"),
    ):
        told = command(capsys, "export", "run", "--format", kind).err
        assert "save it as" in told
        told = command(capsys, "export", "run", "--format", kind, "-o", file).err
        assert "save it as" not in told
        assert use in " ".join(told.split())
