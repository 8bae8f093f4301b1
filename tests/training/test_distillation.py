"""A student comes close to its teacher: the objective is that of the paper, whatever the size of a chunk."""

import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from stages.core.params import check
from stages.training import logits
from stages.training import model as models
from stages.training.distillation import Distillation, Student
from stages.training.learner import Learner
from stages.training.settings import Training
from tests.training import small_run

ARCHITECTURE = check(models.Architecture, small_run.PARAMS["model"] | {"init_std": 0.2}, "model")


def test_flops_are_those_of_the_student_and_of_the_teacher_who_is_only_asked() -> None:
    student, teacher = (models.build(ARCHITECTURE, vocab_size=300, context=64, seed=seed) for seed in (1, 2))
    teacher.set_attn_implementation("eager")
    told = Distillation(teacher="", student="", architecture=ARCHITECTURE, temperature=3.0, share=0.75)
    training = check(Training, small_run.PARAMS["training"] | {"attention": "eager"}, "t")
    learner, alone = Student(student, training, teacher, told), Learner(student, training)
    ids = torch.zeros(2, 64, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        teacher(input_ids=ids, use_cache=False)
    asked = learner.flops_per_token - alone.flops_per_token
    assert asked == pytest.approx(counter.get_total_flops() / ids.numel(), rel=0.02)


@pytest.mark.parametrize("chunk", [2**23, 200])
def test_loss_and_gradient_are_those_of_the_paper(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(logits, "_CHUNK", chunk)
    student, teacher = (models.build(ARCHITECTURE, vocab_size=64, context=32, seed=seed) for seed in (1, 2))
    told = Distillation(teacher="", student="", architecture=ARCHITECTURE, temperature=3.0, share=0.75)
    learner = Student(
        student, check(Training, small_run.PARAMS["training"] | {"precision": "fp32"}, "t"), teacher, told
    )
    assert len(list(learner.parameters())) == len(list(student.parameters()))
    ids, where = torch.arange(4, 28).view(2, 12), torch.tensor([1, 5, 14, 20])
    labels = ids.flatten()[where]
    losses = learner(ids, labels, where)
    losses.objective.backward()
    found = student.get_input_embeddings().weight.grad.clone()
    student.zero_grad()
    ours, theirs = (one(ids).logits.flatten(0, 1)[where] for one in (student, teacher))
    soft, wanted = (ours / 3).log_softmax(1), (theirs.detach() / 3).softmax(1)
    hard = functional.cross_entropy(ours, labels, reduction="sum")
    expected = 0.75 * 9 * (wanted * (wanted.log() - soft)).sum() + 0.25 * hard
    expected.backward()
    torch.testing.assert_close(losses.objective, expected)
    torch.testing.assert_close(losses.cross_entropy, hard.detach())
    torch.testing.assert_close(found, student.get_input_embeddings().weight.grad)
