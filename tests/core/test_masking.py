"""Motion-aware masking: exact counts, the lineage's odds, and the sampling's statistics."""

import itertools
import math

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from sjepa.encoder import patchify
from sjepa.masking import motion_aware_mask, motion_intensity, motion_logits


@example(30, 25, 0.9, 0)  # the paper's: 75 of 750 are kept, where `int()` would give 74
@given(st.integers(1, 6), st.integers(1, 9), st.floats(0.05, 0.95), st.integers(0, 10_000))
def test_any_shape_splits_all_tokens(segments, joints, ratio, seed):
    tokens = torch.randn(2, segments, joints, 3, generator=torch.Generator().manual_seed(seed))
    keep, masked = motion_aware_mask(tokens, ratio, generator=torch.Generator().manual_seed(seed))
    count = segments * joints
    assert keep.shape[1] == (75 if count == 750 else round(count * (1 - ratio)))
    assert (keep.diff() > 0).all() and (masked.diff() > 0).all()
    both = torch.cat((keep, masked), 1).sort(1).values
    assert torch.equal(both, torch.arange(count).expand(2, -1))


def test_intensity_by_loops(clip):
    tokens = patchify(clip)[0]
    wanted = torch.zeros(30, 25)
    for s in range(1, 30):
        for v in range(25):
            wanted[s, v] = sum(abs(tokens[s, v, f] - tokens[s - 1, v, f]) for f in range(12)) / 12
    wanted[0] = wanted[1]
    torch.testing.assert_close(motion_intensity(patchify(clip))[0], wanted.flatten())


def test_largest_odds_are_those_of_tau(clip):
    logits = motion_logits(patchify(clip), tau=0.8)
    assert logits.max().item() == pytest.approx(1 / 0.8, rel=1e-5)
    still = torch.zeros_like(patchify(clip))
    still[:, 10:, 3] = 1.0  # one joint moves once, all else stands
    odds = (motion_logits(still, 0.8).max() - motion_logits(still, 0.8).min()).exp().item()
    assert odds == pytest.approx(math.exp(1 / 0.8), rel=1e-5)


def test_frequencies_are_those_of_sampling_without_replacement():
    """Kept tokens against the exact law: draw the masked ones one by one from the softmax.

    4 tokens, 2 masked; 40,000 draws. Each inclusion probability has a standard error under 0.0025,
    the bound is 4 of them.
    """
    tokens = torch.zeros(40_000, 2, 4, 3)
    tokens[:, 1] = torch.tensor([0.0, 0.3, 0.6, 1.0])[:, None]
    single = motion_logits(tokens[:1, :, :], 0.8)[0, :4].exp()
    weight = torch.cat((single, single))  # the first segment copies the second
    _, masked = motion_aware_mask(tokens, 0.25, 0.8, torch.Generator().manual_seed(1))
    seen = torch.zeros(8).scatter_add_(0, masked.flatten(), torch.ones(masked.numel())) / 40_000
    exact = torch.zeros(8)
    for a, b in itertools.permutations(range(8), 2):
        p = weight[a] / weight.sum() * weight[b] / (weight.sum() - weight[a])
        exact[a] += p
        exact[b] += p
    assert (seen - exact).abs().max() < 0.01


def test_absent_body_gets_a_uniform_mask():
    tokens = torch.zeros(2000, 30, 25, 12)
    keep, _ = motion_aware_mask(tokens, generator=torch.Generator().manual_seed(0))
    share = torch.bincount(keep.flatten(), minlength=750) / 2000
    assert (share - 0.1).abs().max() < 6 * math.sqrt(0.1 * 0.9 / 2000)
