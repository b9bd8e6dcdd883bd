"""What only a GPU can show: no waiting inside a step, generated kernels, graphs, fp16."""


from dataclasses import replace

import pytest
import torch

from sjepa.config import make_config
from sjepa.pretrain import Pretraining
from sjepa.protocols.config import FinetuneConfig
from sjepa.protocols.context import set_up
from sjepa.protocols.finetune import FineTuning

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture
def gpu(tiny):
    return replace(tiny, device="cuda", compile="none", monitor_every=1000)


def steps(config, store, count=3):
    """The run and its losses; steps 1 to `count`, so that no monitor is read."""
    run = Pretraining(config, store)
    run.step = 1
    return run, [run.training_step(run.train[8 * k : 8 * k + 8])["loss"] for k in range(count)]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_step_never_waits_for_the_device(store, gpu, precision):
    run, _ = steps(replace(gpu, precision=precision, monitor_every=1), store, 1)
    torch.cuda.set_sync_debug_mode("error")
    try:
        run.training_step(run.train[:8])
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
@pytest.mark.parametrize("precision, bound", [("fp32", 1e-5), ("bf16", 0.01)])
def test_compiled_steps_equal_eager_ones(store, gpu, mode, precision, bound):
    config = replace(gpu, precision=precision, accumulate=2)
    _, losses = steps(config, store)
    run, theirs = steps(replace(config, compile=mode), store)
    assert run.compiled
    torch.testing.assert_close(torch.stack(losses), torch.stack(theirs), atol=0, rtol=bound)


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
@pytest.mark.parametrize("precision, bound", [("fp32", 1e-5), ("bf16", 0.01)])
def test_compiled_fine_tuning_equals_an_eager_one(pretrained, mode, precision, bound):
    """Without stochastic depth, which generated code draws otherwise, and dropout, drawn after."""
    made = []
    for compile_ in ("none", mode):
        config = make_config(FinetuneConfig, dict(
            run=str(pretrained), device="cuda", precision=precision, compile=compile_,
            batch_size=12, hidden=32, dropout=0.0, drop_path=0.0))
        bench = set_up(config)
        run = FineTuning(bench, config, bench.encoder, bench.train)
        assert run.compiled == (compile_ != "none")
        run.read_test()
        run.model.train()
        generator = torch.Generator(run.device).manual_seed(0)
        made.append((run.scores, torch.stack([
            run.training_step(run.train[12 * k : 12 * k + 12], 0.5, generator)
            for k in range(3)])))
    (scores, losses), (their_scores, theirs) = made
    torch.testing.assert_close(scores, their_scores, atol=10 * bound, rtol=0)
    torch.testing.assert_close(losses, theirs, atol=0, rtol=bound)


@pytest.mark.parametrize("precision, bound", [("fp16", 2e-3), ("bf16", 0.01)])
def test_lower_precision_stays_near(store, gpu, precision, bound):
    _, losses = steps(gpu, store, 1)
    _, theirs = steps(replace(gpu, precision=precision), store, 1)
    torch.testing.assert_close(losses[0], theirs[0], atol=0, rtol=bound)


def test_resume_on_a_gpu(store, gpu):
    run, _ = steps(gpu, store, 1)
    other = Pretraining(gpu, store)
    other.load_state(run.state())
    mine, theirs = (r.training_step(r.train[:8])["loss"] for r in (run, other))
    assert torch.equal(mine, theirs)
