"""The transformer against plain re-derivations, and MAMP's weights against MAMP's arithmetic."""

import pytest
import torch
from torch import nn

from sjepa.encoder import Encoder, patchify, take
from sjepa.errors import SjepaError
from sjepa.interop import encoder_from_mamp
from sjepa.predictor import Predictor


def test_patchify_by_loops(clip):
    tokens = patchify(clip)
    assert tokens.shape == (1, 30, 25, 12)
    for s, v, t, c in ((0, 0, 0, 0), (3, 7, 2, 1), (29, 24, 3, 2)):
        assert tokens[0, s, v, t * 3 + c] == clip[0, 4 * s + t, v, c]


def test_paper_shape():
    encoder = Encoder()
    assert encoder.positions().shape == (1, 750, 256)
    assert encoder(torch.randn(2, 120, 25, 3)).shape == (2, 750, 256)
    # 6.37 M parameters is the size others publish for this encoder (SLiM, arXiv 2603.10648).
    assert sum(p.numel() for p in encoder.parameters()) == pytest.approx(6.37e6, rel=0.01)


def test_weights_start_as_the_lineages():
    """Xavier-uniform and no bias; positions, mask token and the predictor's exit near 0."""
    encoder, predictor = Encoder(64, 1, 4), Predictor(64, 1, 4)
    for name, layer in [*encoder.named_modules(), *predictor.named_modules()]:
        if isinstance(layer, nn.Linear) and name != "exit":
            bound = (6 / (layer.in_features + layer.out_features)) ** 0.5
            assert 0.98 * bound < layer.weight.abs().max() <= bound and not layer.bias.any()
    for near_zero in (*encoder.positions.parameters(), *predictor.positions.parameters(),
                      predictor.mask_token, predictor.exit.weight):
        assert near_zero.std().item() == pytest.approx(0.02, rel=0.3)


def test_only_kept_tokens_take_part(clip):
    encoder = Encoder(32, 2, 4)
    keep = torch.randperm(750)[:75].sort().values[None]
    made = encoder(clip, keep)
    assert made.shape == (1, 75, 32)
    other = clip.clone()
    hidden = torch.ones(750, dtype=torch.bool).index_fill(0, keep[0], False).view(30, 25)
    other[0][hidden.repeat_interleave(4, 0)] += 5  # change every hidden coordinate
    assert torch.equal(encoder(other, keep), made)
    shown = encoder(clip)
    assert (take(shown, keep) - made).abs().max() > 1e-3  # the whole clip tells more


@pytest.mark.parametrize("make, said", [
    *((lambda shape=shape: Encoder(32, 1, 4)(torch.zeros(shape)), "the encoder takes clips")
      for shape in ((1, 64, 25, 3), (1, 120, 20, 3), (1, 120, 25, 2))),
    (lambda: Encoder(32, 1, 4, frames=121), "no multiple of"),
    (lambda: Encoder(30, 1, 4), "no multiple of")])
def test_impossible_shapes_are_refused(make, said):
    with pytest.raises(SjepaError, match=said):
        make()


def test_predictor_sees_where_and_what():
    predictor, visible = Predictor(32, 2, 4, 25, 6), torch.randn(1, 15, 32)
    order = torch.randperm(150)
    keep, masked = order[:15].sort().values[None], order[15:].sort().values[None]
    made = predictor(visible, keep, masked)
    assert made.shape == (1, 135, 32)
    assert made[0].std(0).mean() > 1e-3  # outputs differ by position …
    for table in (predictor.positions.time, predictor.positions.joint):
        nn.init.zeros_(table)
    same = predictor(visible, keep, masked)[0]
    torch.testing.assert_close(same, same[:1].expand_as(same), atol=1e-5, rtol=1e-4)  # … only by it
    assert (predictor(visible + 1, keep, masked) - same).abs().max() > 1e-4


def mamp_forward(w, x, depth, heads):
    """MAMP's encoder in its own terms: convolution, explicit attention, all tokens."""
    tokens = nn.functional.conv2d(
        x.permute(0, 3, 1, 2), w["joints_embed.proj.weight"], w["joints_embed.proj.bias"],
        stride=(4, 1),
    ).permute(0, 2, 3, 1)
    tokens = (tokens + w["pos_embed"] + w["temp_embed"]).flatten(1, 2)

    def norm(t, name):
        return nn.functional.layer_norm(t, t.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])

    def linear(t, name):
        return t @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    batch, count, dim = tokens.shape
    for i in range(depth):
        b = f"blocks.{i}"
        qkv = linear(norm(tokens, f"{b}.norm1"), f"{b}.attn.qkv")
        q, k, v = qkv.view(batch, count, 3, heads, dim // heads).permute(2, 0, 3, 1, 4)
        weight = (q @ k.transpose(-1, -2) * (dim // heads) ** -0.5).softmax(-1)
        out = (weight @ v).transpose(1, 2).reshape(batch, count, dim)
        tokens = tokens + linear(out, f"{b}.attn.proj")
        hidden = nn.functional.gelu(linear(norm(tokens, f"{b}.norm2"), f"{b}.mlp.fc1"))
        tokens = tokens + linear(hidden, f"{b}.mlp.fc2")
    return norm(tokens, "norm")


def mamp_weights(dim=32, depth=2):
    layers = {"joints_embed.proj": (dim, 3, 4, 1), "norm": (dim,), "decoder_embed": (dim, dim)}
    for i in range(depth):
        layers |= {f"blocks.{i}.{name}": shape for name, shape in {
            "norm1": (dim,), "norm2": (dim,), "attn.qkv": (3 * dim, dim), "attn.proj": (dim, dim),
            "mlp.fc1": (4 * dim, dim), "mlp.fc2": (dim, 4 * dim)}.items()}
    shapes = {"temp_embed": (1, 30, 1, dim), "pos_embed": (1, 1, 25, dim),
              "mask_token": (1, 1, dim)}
    for name, shape in layers.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) * 0.3 for name, shape in shapes.items()}


@pytest.mark.parametrize("prefix", ["", "module."])
def test_mamp_weights_give_mamps_output(clip, prefix):
    weights = mamp_weights()
    encoder = encoder_from_mamp({prefix + n: v for n, v in weights.items()}, heads=4)
    assert encoder.shape == dict(dim=32, depth=2, heads=4, joints=25, frames=120, segment=4)
    torch.testing.assert_close(encoder(clip), mamp_forward(weights, clip, 2, 4),
                               atol=3e-6, rtol=0)


@pytest.mark.parametrize("lost", ["temp_embed", "norm.bias", "blocks.1.mlp.fc2.weight"])
def test_a_checkpoint_without_a_weight_is_named(lost):
    weights = mamp_weights()
    del weights[lost]
    with pytest.raises(SjepaError, match=lost.replace(".", r"\.")):
        encoder_from_mamp(weights, heads=4)
