"""The scorer against transformers' own loss, at any batch size, on long and on hostile text."""

from pathlib import Path

import pytest
import torch
import transformers

from stages.core.errors import HeadwaterError
from stages.scoring.likelihood import Scorer, Windows
from tests import small_model


@pytest.fixture
def scorer(model: Path, profile: Path) -> Scorer:
    return Scorer(model, Windows(overlap=0.25, batch_tokens=256))


def reference(model: Path, sequence: list[int], scored: int) -> float:
    """Negative log-likelihood of the last ``scored`` tokens by transformers' loss, one sequence alone."""
    network = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    labels = [*[-100] * (len(sequence) - scored), *sequence[-scored:]]
    with torch.inference_mode():
        loss = network(torch.tensor([sequence]), labels=torch.tensor([labels])).loss
    return float(loss) * scored


def test_equals_the_loss_of_transformers(scorer: Scorer, model: Path) -> None:
    context, continuation = scorer.encode("the page reads"), scorer.encode(" a request.")
    (score,) = scorer.score([scorer.windows([scorer.begin, *context], continuation)])
    expected = reference(model, [scorer.begin, *context, *continuation], len(continuation))
    assert score.nats == pytest.approx(expected, rel=1e-5)


def test_long_text_is_the_sum_of_its_windows(scorer: Scorer, model: Path) -> None:
    sequence = [scorer.begin, *scorer.encode(small_model.document(1)["text"])]
    context, step = small_model.CONTEXT, small_model.CONTEXT * 3 // 4
    expected = reference(model, sequence[: context + 1], context)
    for start in range(context + 1, len(sequence), step):
        end = min(start + step, len(sequence))
        expected += reference(model, sequence[end - context - 1 : end], end - start)
    (score,) = scorer.score([scorer.windows(sequence[:1], sequence[1:])])
    assert score.nats == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("before", [1, 3, 40, 64, 65, 200])
def test_every_token_is_predicted_once_with_context(scorer: Scorer, before: int) -> None:
    for length in range(1, 200):
        sequence = list(range(before + length))
        predicted: list[int] = []
        for window in scorer.windows(sequence[:before], sequence[before:]):
            assert len(window.tokens) - 1 <= scorer.context
            given = len(window.tokens) - window.scored
            assert given >= min(window.tokens[given], scorer.context - scorer.step + 1)
            predicted += window.tokens[given:]
        assert predicted == sequence[before:]


def test_same_at_any_batch_size(scorer: Scorer) -> None:
    texts = [
        scorer.windows([scorer.begin], scorer.encode(small_model.document(number, count=1 + 2 * number)["text"]))
        for number in range(6)
    ]
    scores = []
    for batch_tokens in (1, 200, 10**6):
        scorer.batch_tokens = batch_tokens
        scores.append([score.nats for score in scorer.score(texts)])
    assert scores[1] == pytest.approx(scores[0], rel=1e-5)
    assert scores[2] == pytest.approx(scores[0], rel=1e-5)
    assert [score.nats for score in scorer.score(texts)] == scores[2]
    assert [score.nats for score in scorer.score(texts[::-1])][::-1] == pytest.approx(scores[0], rel=1e-5)


def test_control_tokens_in_text_stay_text(scorer: Scorer) -> None:
    text = "<s>the page</s><|end|><|assistant|><pad>"
    ids = scorer.encode(text)
    assert min(ids) > 7
    assert scorer.tokenizer.decode(ids) == text


def test_no_model_is_one_line(tmp_path: Path, profile: Path) -> None:
    with pytest.raises(HeadwaterError, match=f"^{tmp_path}: no model that transformers can load: ") as error:
        Scorer(tmp_path, Windows(overlap=0.0, batch_tokens=1))
    assert "\n" not in str(error.value)
