"""The local masked-LM worker, against transformers' own forward pass on models made here."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from bdpl_async.errors import ConfigError, LabelError, ProviderRefused, RequestFailed, UsageError
from bdpl_async.records import Reply, Request, Score, Text
from bdpl_async.scorer import Probing
from bdpl_providers import connect
from bdpl_providers.assembly import Assembler, Row
from bdpl_providers.maskedlm import MaskedLM
from bdpl_providers.roberta import Roberta
from tests.tinymodels import KINDS, WINDOW, byte_level, save_all, word_pieces

if TYPE_CHECKING:
    import torch
    import transformers
else:  # an install without the extra still runs every other test
    torch = pytest.importorskip("torch", reason="the extra 'local' is not installed")
    transformers = pytest.importorskip("transformers", reason="the extra 'local' is not installed")

HEADS = {
    "roberta": "lm_head",
    "bert": "cls",
    "albert": "predictions",
    "electra": "generator_lm_head",
    "distilbert": "vocab_projector",
    "deberta": "lm_predictions",
    "modernbert": "decoder",
}
"""Architecture -> the module that gives the logits."""

POSITIONS = "roberta.embeddings.position_embeddings.weight"
LABELS = (" great", " terrible")
TEXTS = (
    Text("It was ", "."),
    Text("the film was great and the plot terrible. It was ", "."),
    Text("a film. ", " film and a great plot, one two three"),
    Text("one two three four five six seven eight nine ten. It was ", ""),
    Text("un fun. It was ", "."),
)


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one tiny saved model per architecture."""
    root = tmp_path_factory.mktemp("models")
    save_all(root)
    return root


def reference(folder: Path, texts: tuple[Text, ...], words: list[str]) -> list[list[float]]:
    """transformers' own answer: one text at a time, logits everywhere, float64 log-softmax."""
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer.convert_tokens_to_ids(words)
    answers = []
    for text in texts:
        inputs = tokenizer(text.before + tokenizer.mask_token + text.after, return_tensors="pt")
        inputs.pop("token_type_ids", None)
        with torch.inference_mode():
            logits = model(**inputs).logits[inputs["input_ids"] == tokenizer.mask_token_id]
        answers.append(logits.double().log_softmax(-1)[0, ids].tolist())
    return answers


Answer = TypeVar("Answer")


async def unused(exchange: Callable[[], Awaitable[Answer]], texts: Sequence[str]) -> Answer:
    """The line of a probe that sends nothing."""
    raise AssertionError("a model on this machine is asked without any request")


def values(reply: Reply) -> list[tuple[float, ...]]:
    """The log-probabilities of a reply in which nothing failed."""
    assert all(isinstance(score, Score) for score in reply.scores), reply.scores
    return [score.logprobs for score in reply.scores if isinstance(score, Score)]


def tools(scorer: Roberta) -> tuple[MaskedLM, Assembler]:
    """The model and the assembler of an open scorer."""
    return scorer._opened()


class TestScores:
    @pytest.mark.parametrize("folder", KINDS)
    async def test_equal_transformers_own(self, shelf: Path, folder: str) -> None:
        """Label log-probabilities equal transformers' full log-softmax, whatever the lengths."""
        words = ["Ġgreat", "Ġterrible"] if folder == "roberta" else ["great", "terrible"]
        expected = reference(shelf / folder, TEXTS, words)
        async with Roberta(str(shelf / folder), batch=2) as scorer:
            reply = await scorer.score(Request(TEXTS, LABELS))
        for found, wanted in zip(values(reply), expected, strict=True):
            assert found == pytest.approx(wanted, abs=1e-5)
        for score in reply.scores:
            assert isinstance(score, Score)
            assert score.mass == pytest.approx(sum(map(math.exp, score.logprobs)))

    @pytest.mark.parametrize("folder", KINDS)
    async def test_head_sees_one_position_a_text(self, shelf: Path, folder: str) -> None:
        """The vocabulary head is computed at the mask and nowhere else."""
        seen = []
        async with Roberta(str(shelf / folder)) as scorer:
            model, _ = tools(scorer)
            head = model._model.get_submodule(HEADS[folder])
            head.register_forward_hook(lambda _m, args, _o: seen.append(args[0].shape[:-1]))
            await scorer.score(Request(TEXTS, LABELS))
        assert model.short
        assert seen == [(len(TEXTS), 1)]

    async def test_batches_do_not_change_the_answer(self, shelf: Path) -> None:
        """A text gets the same answer alone, in small batches and in one large one."""
        answers = []
        for batch in (1, 2, 64):
            async with Roberta(str(shelf / "roberta"), batch=batch) as scorer:
                answers.append(values(await scorer.score(Request(TEXTS, LABELS))))
        for answer in answers[1:]:
            for found, wanted in zip(answer, answers[0], strict=True):
                assert found == pytest.approx(wanted, abs=1e-5)

    @pytest.mark.parametrize("dtype", ["float32", "bf16"])
    async def test_same_request_same_bits(self, shelf: Path, dtype: str) -> None:
        """The same request gives identical floats, in this scorer and in a new one."""
        request, answers = Request(TEXTS * 3, LABELS), []
        for _ in range(2):
            async with Roberta(str(shelf / "roberta"), batch=4, dtype=dtype) as scorer:
                answers += [values(await scorer.score(request)) for _ in range(2)]
        assert all(answer == answers[0] for answer in answers)

    async def test_usage_counts_real_tokens(self, shelf: Path) -> None:
        """Padding is not counted as prompt tokens."""
        async with Roberta(str(shelf / "roberta")) as scorer:
            rows = tools(scorer)[1].rows(TEXTS)
            reply = await scorer.score(Request(TEXTS, LABELS))
        assert reply.usage.prompt_tokens == sum(len(r.ids) for r in rows if isinstance(r, Row))

    async def test_bf16_is_close(self, shelf: Path) -> None:
        """bf16 is taken when asked for and stays within its precision of float32."""
        async with Roberta(str(shelf / "roberta")) as exact:
            wanted = values(await exact.score(Request(TEXTS, LABELS)))
        async with Roberta(str(shelf / "roberta"), dtype="bf16", device="cpu") as scorer:
            assert tools(scorer)[0]._model.dtype == torch.bfloat16
            assert tools(scorer)[0].short
            found = values(await scorer.score(Request(TEXTS, LABELS)))
        assert [v for row in found for v in row] == pytest.approx(
            [v for row in wanted for v in row], abs=0.3
        )

    async def test_auto_dtype_is_one_of_two(self, shelf: Path) -> None:
        """`auto` takes bf16 or float32, as the hardware has it, and answers."""
        async with Roberta(str(shelf / "roberta"), dtype="auto") as scorer:
            assert tools(scorer)[0]._model.dtype in {torch.bfloat16, torch.float32}
            values(await scorer.score(Request(TEXTS, LABELS)))

    async def test_half_precision_weights_run_in_float32(self, shelf: Path, tmp_path: Path) -> None:
        """Weights stored as float16 are computed in float32 unless asked otherwise."""
        model = transformers.AutoModelForMaskedLM.from_pretrained(shelf / "roberta")
        model.half().save_pretrained(tmp_path)
        byte_level().save_pretrained(tmp_path)
        async with Roberta(str(tmp_path)) as scorer:
            assert tools(scorer)[0]._model.dtype == torch.float32
            assert not tools(scorer)[0]._model.training

    async def test_not_finite_fails_in_place(self, shelf: Path) -> None:
        """A text whose log-probabilities are NaN fails alone; its neighbours pass."""
        async with Roberta(str(shelf / "roberta")) as scorer:
            model, _ = tools(scorer)
            with torch.no_grad():
                model._model.get_parameter(POSITIONS)[40:] = math.nan
            long = Text("one two three " * 14, "")
            reply = await scorer.score(Request((TEXTS[0], long), LABELS))
        assert isinstance(reply.scores[0], Score)
        assert isinstance(reply.scores[1], RequestFailed)
        assert "nan" in str(reply.scores[1])


class TestRefusals:
    async def test_labels_are_checked_by_probe_and_score(self, shelf: Path) -> None:
        """A label word that the model cannot show is refused before and while scoring."""
        async with Roberta(str(shelf / "roberta")) as scorer:
            request = Request(TEXTS, ("great", "hyponym"))
            with pytest.raises(LabelError, match="'hyponym' is 2 tokens"):
                await scorer.probe(request, unused)
            with pytest.raises(LabelError, match="'hyponym' is 2 tokens"):
                await scorer.score(request)

    async def test_impossible_window(self, shelf: Path) -> None:
        """A text that cannot fit fails alone when scored, and is refused as a sample."""
        texts = (TEXTS[0], Text("great film " * 90), TEXTS[1])
        async with Roberta(str(shelf / "roberta")) as scorer:
            reply = await scorer.score(Request(texts, LABELS))
            with pytest.raises(ProviderRefused, match="the window holds 64"):
                await scorer.probe(Request(texts, LABELS), unused)
        assert [type(score) for score in reply.scores] == [Score, RequestFailed, Score]


class TestLoading:
    async def test_connect_opens_it(self, shelf: Path) -> None:
        """`connect` knows the provider by its name, and its only read-out."""
        async with connect(f"roberta/{shelf / 'bert'}", readout="mlm") as scorer:
            assert len(values(await scorer.score(Request(TEXTS, LABELS)))) == len(TEXTS)
        with pytest.raises(ConfigError, match="cannot be read by 'chat'"):
            async with connect("roberta/builtin", readout="chat"):
                pass

    async def test_window_of_each_family(self, shelf: Path) -> None:
        """RoBERTa's positions that belong to the padding are not counted."""
        for folder in ("roberta", "bert", "distilbert", "modernbert"):
            async with Roberta(str(shelf / folder)) as scorer:
                assert tools(scorer)[1].window == WINDOW

    async def test_probe_says_how_to_ask(self, shelf: Path) -> None:
        """A sound task is answered with batches by length, one at a time, on this machine."""
        async with Roberta(str(shelf / "roberta"), batch=7) as scorer:
            assert isinstance(scorer, Probing)
            found = await scorer.probe(Request(TEXTS, LABELS), unused)
        assert (found.batch, found.order, found.concurrency, found.local) == (7, "length", 1, True)
        assert scorer.name == f"roberta/{shelf / 'roberta'}"

    async def test_no_folder(self, tmp_path: Path) -> None:
        """A folder that is not there is refused by name, without asking the hub."""
        with pytest.raises(ProviderRefused, match="there is no folder"):
            async with Roberta(str(tmp_path / "nothing")):
                pass

    async def test_unreachable_hub_id(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A hub id that cannot be had is refused by name."""
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(ProviderRefused, match="roberta/nobody/nothing: cannot be loaded") as no:
            async with Roberta("nobody/nothing"):
                pass
        assert "roberta/builtin ships with the package" in str(no.value)

    async def test_without_a_network_it_asks_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the hub does not answer at all, only its cache here is looked into: no waits."""
        looks: list[str] = []

        def info(self: object, source: str, timeout: float) -> None:
            looks.append(source)
            raise ConnectionError("no route to host")

        def head(*args: object, **kwargs: object) -> None:
            pytest.fail("the hub was asked for a file")

        monkeypatch.setattr("huggingface_hub.HfApi.model_info", info)
        monkeypatch.setattr("huggingface_hub.file_download.get_hf_file_metadata", head)
        with pytest.raises(ProviderRefused, match="the hub cannot be reached"):
            async with Roberta("nobody/nothing"):
                pass
        assert looks == ["nobody/nothing"]

    async def test_pickles_are_never_read(self, shelf: Path, tmp_path: Path) -> None:
        """A folder whose weights are a pickle is refused, and the pickle stays closed."""
        model = transformers.AutoModelForMaskedLM.from_pretrained(shelf / "roberta")
        model.config.save_pretrained(tmp_path)
        byte_level().save_pretrained(tmp_path)
        torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
        with pytest.raises(ProviderRefused, match="safetensors"):
            async with Roberta(str(tmp_path)):
                pass

    async def test_broken_folders(self, shelf: Path, tmp_path: Path) -> None:
        """Damaged weights, no tokenizer, no trained head: each is refused for its own reason."""
        model = transformers.AutoModelForMaskedLM.from_pretrained(shelf / "roberta")
        model.save_pretrained(tmp_path / "untold")
        headless = transformers.RobertaForSequenceClassification(model.config)
        headless.save_pretrained(tmp_path / "headless")
        byte_level().save_pretrained(tmp_path / "headless")
        model.save_pretrained(tmp_path / "damaged")
        byte_level().save_pretrained(tmp_path / "damaged")
        (tmp_path / "damaged" / "model.safetensors").write_bytes(b"\xff" * 64)
        byte_level().save_pretrained(tmp_path / "weightless")
        model.config.save_pretrained(tmp_path / "weightless")
        model.save_pretrained(tmp_path / "misshapen")
        byte_level().save_pretrained(tmp_path / "misshapen")
        config = tmp_path / "misshapen" / "config.json"
        config.write_text(config.read_text().replace('"hidden_size": 32', '"hidden_size": 64'))
        model.save_pretrained(tmp_path / "garbled")
        byte_level().save_pretrained(tmp_path / "garbled")
        (tmp_path / "garbled" / "tokenizer.json").write_text("{}")
        maskless = word_pieces()
        maskless.mask_token = None
        maskless.save_pretrained(tmp_path / "maskless")
        bert = transformers.AutoModelForMaskedLM.from_pretrained(shelf / "bert")
        bert.save_pretrained(tmp_path / "maskless")
        reasons = {
            "untold": "no vocabulary",
            "headless": "no trained masked-LM head",
            "damaged": "cannot be loaded",
            "weightless": "no file named model.safetensors",
            "misshapen": "other shapes than its configuration says",
            "garbled": "KeyError: 'added_tokens'",
            "maskless": "no mask token",
        }
        for folder, reason in reasons.items():
            with pytest.raises(ProviderRefused, match=reason) as caught:
                async with Roberta(str(tmp_path / folder)):
                    pass
            assert folder in str(caught.value)

    async def test_options_are_checked(self, shelf: Path) -> None:
        """An unknown dtype and an empty batch are the caller's to mend."""
        with pytest.raises(UsageError, match="dtype 'int3' is unknown"):
            async with Roberta(str(shelf / "roberta"), dtype="int3"):
                pass
        with pytest.raises(UsageError, match="device 'abacus' cannot be used") as caught:
            async with Roberta(str(shelf / "roberta"), device="abacus"):
                pass
        assert "leave it out" in str(caught.value)
        with pytest.raises(UsageError, match="a batch of 0 texts"):
            Roberta("builtin", batch=0)

    async def test_not_open(self) -> None:
        """Scoring outside the context is refused, not hung."""
        with pytest.raises(UsageError, match="is not open"):
            await Roberta("builtin").score(Request(TEXTS, LABELS))

    async def test_missing_extra(self, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without torch the message says what to install, and what else there is."""
        monkeypatch.setitem(sys.modules, "torch", None)
        with pytest.raises(UsageError, match=r"pip install 'bdpl-async\[local\]'") as caught:
            async with Roberta(str(shelf / "roberta")):
                pass
        assert "--model vllm/NAME" in str(caught.value)
        assert "--model simulated/x" in str(caught.value)

    async def test_loading_is_silent(self, shelf: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """Loading writes nothing and leaves transformers' own settings as they were."""
        chatter: Any = transformers.utils.logging  # its switches carry no types
        chatter.enable_progress_bar()
        before = chatter.get_verbosity()
        async with Roberta(str(shelf / "roberta")):
            pass
        assert capfd.readouterr() == ("", "")
        assert (chatter.get_verbosity(), chatter.is_progress_bar_enabled()) == (before, True)
        chatter.disable_progress_bar()

    def test_import_is_light(self) -> None:
        """Importing the module imports neither torch nor transformers."""
        code = (
            "import sys, bdpl_providers.roberta; print({'torch', 'transformers'} & {*sys.modules})"
        )
        found = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.strip() == "set()"


class TestLoop:
    async def test_loop_stays_responsive(self, shelf: Path) -> None:
        """While the model works, other tasks of the event loop go on."""
        async with Roberta(str(shelf / "roberta"), batch=8) as scorer:
            scoring = asyncio.create_task(scorer.score(Request(TEXTS * 200, LABELS)))
            ticks = 0
            while not scoring.done():
                await asyncio.sleep(0.001)
                ticks += 1
        assert ticks > 20

    async def test_cancelled_request_stops_at_the_next_batch(
        self, shelf: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A cancelled request runs no further batch, and the scorer still answers."""
        weigh, batches, started = MaskedLM.logprobs, [], asyncio.Event()
        loop = asyncio.get_running_loop()

        def counted(self: MaskedLM, rows: list[Row], labels: list[tuple[int, ...]]) -> object:
            batches.append(len(rows))
            loop.call_soon_threadsafe(started.set)
            return weigh(self, rows, labels)

        monkeypatch.setattr(MaskedLM, "logprobs", counted)
        async with Roberta(str(shelf / "roberta"), batch=1) as scorer:
            scoring = asyncio.create_task(scorer.score(Request(TEXTS * 200, LABELS)))
            await started.wait()
            scoring.cancel()
            with pytest.raises(asyncio.CancelledError):
                await scoring
            ran = len(batches)
            assert len(values(await scorer.score(Request(TEXTS[:1], LABELS)))) == 1
        assert len(batches) <= ran + 2 < 1000
