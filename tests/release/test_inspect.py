"""The page about a sentence: true probabilities, nothing in it is markup, and errors of one line."""

import re
from pathlib import Path
from typing import Literal

import pytest
import torch
import transformers

from stages.core import adapted
from stages.release import inspect
from stages.training import adapters
from stages.training import model as models
from tests import small_model

HOSTILE = "the page <script>alert(1)</script> reads <s> \u202e a request"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model.train(tmp_path_factory.mktemp("models") / "small")


def test_the_page_of_a_sentence(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "made" / "page.html"
    assert inspect.main(["--model", str(model), "--page", str(page), HOSTILE]) == 0
    assert capsys.readouterr().out == f"{page}\n"
    content = page.read_text("utf-8")
    assert "<script" not in content
    assert "\u202e" not in content
    assert "default-src &#39;none&#39;; style-src" in content
    assert content.count('<svg class="chart map"') == 1 + 2 * (1 + 2)  # lengths; in each layer the mean and two heads
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    ids = [1, *tokenizer(HOSTILE, add_special_tokens=False, split_special_tokens=True)["input_ids"]]
    logits = transformers.AutoModelForCausalLM.from_pretrained(model)(torch.tensor([ids])).logits[0].detach().double()
    bits = -logits.log_softmax(dim=-1)[range(len(ids) - 1), ids[1:]] / torch.log(torch.tensor(2.0))
    shown = re.findall(r"</bdi></th><td>([\d.]+)</td><td>([\d,]+)</td>", content)
    assert [float(one) for one, _ in shown] == pytest.approx(bits.tolist(), abs=0.051)
    order = logits.argsort(dim=-1, descending=True).tolist()
    assert [int(place) for _, place in shown] == [order[at].index(ids[at + 1]) + 1 for at in range(len(ids) - 1)]


def test_a_long_text_is_cut_and_the_page_says_so(model: Path) -> None:
    text = small_model.document(1)["text"]
    tokens = len(transformers.AutoTokenizer.from_pretrained(model)(text, add_special_tokens=False)["input_ids"])
    assert f"The last {tokens + 1 - small_model.CONTEXT} tokens" in inspect.describe(model, text)


@pytest.mark.parametrize("method", ["prefix", "prompt"])
def test_an_adapter_is_looked_at_with_its_base(
    model: Path, tmp_path: Path, method: Literal["prefix", "prompt"]
) -> None:
    adapter = adapters.Adapter(rank=1, alpha=1, dropout=0.0, targets="attention", virtual_tokens=3)
    torch.manual_seed(1)
    adapters.save({}, adapters.Tuning(method, adapter, 1, 1), models.load(model, 0.0), tmp_path, stop=[2])
    models.copy_tokenizer(model, tmp_path)
    content = inspect.describe(tmp_path, "the page reads a request")
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    ids = [1, *tokenizer("the page reads a request", add_special_tokens=False)["input_ids"]]
    logits = adapted.load(tmp_path)(torch.tensor([ids])).logits[0, -len(ids) :].detach().double()
    bits = -logits.log_softmax(dim=-1)[range(len(ids) - 1), ids[1:]] / torch.log(torch.tensor(2.0))
    shown = re.findall(r"</bdi></th><td>([\d.]+)</td><td>[\d,]+</td>", content)
    assert [float(one) for one in shown] == pytest.approx(bits.tolist(), abs=0.051)


def test_what_cannot_be_looked_at_is_one_line(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*_: object) -> None:
        raise AssertionError("a name was looked up: no model is fetched")

    monkeypatch.setattr("socket.getaddrinfo", resolve)
    cases = (
        (tmp_path, "a", "no model that transformers can load"),
        (Path("there/is-none"), "a", "there/is-none: no model here (there is no such folder)"),
        (model, "", "no token"),
    )
    for folder, sentence, problem in cases:
        assert inspect.main(["--model", str(folder), "--page", str(tmp_path / "page.html"), sentence]) == 1
        error = capsys.readouterr().err
        assert problem in error
        assert error.count("\n") == 1
    assert not (tmp_path / "page.html").exists()
