"""Encoders by name: shipped, exported or of a run; their cards; faults in words."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sjepa.config import ROOT
from sjepa.datasets import write_store
from sjepa.encoder import Encoder
from sjepa.errors import SjepaError
from sjepa.protocols import encoders
from sjepa.protocols.encoders import load_encoder, load_pretrained, shipped
from sjepa.study.export import export, make_card


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """An empty folder of shipped encoders."""
    monkeypatch.setattr(encoders, "WEIGHTS", tmp_path / "weights")
    return tmp_path / "weights"


def test_run_and_export_and_shipped_name_are_one_encoder(finished, weights):
    wanted, result = load_encoder(finished)
    card = export(finished, weights / "tiny.safetensors")
    assert shipped() == ["tiny"]
    for name in ("tiny", weights / "tiny.safetensors", str(finished)):
        encoder, found = load_pretrained(name)
        torch.testing.assert_close(encoder.state_dict(), wanted.state_dict(), rtol=0, atol=0)
        assert encoder.shape == wanted.shape and not encoder.training
        assert not any(p.requires_grad for p in encoder.parameters())
        assert found["recipe"] == card["recipe"] and found["licence"] == card["licence"]
        assert [each["set"] for each in found["data"]] == ["synthetic"]
    assert card["recipe"]["dim"] == result["settings"]["dim"] == 32
    assert list(weights.iterdir()) == [weights / "tiny.safetensors"]  # no half-written neighbour


def test_the_card_says_data_terms_and_recipe_and_no_place(finished, weights):
    out = weights / "a.safetensors"
    card = export(finished, out, ["bandai", "nwucla"], "non-commercial research only")
    assert load_pretrained("a")[1] == card
    assert [each["set"] for each in card["data"]] == ["bandai", "nwucla"]
    assert card["data"][0]["licence"] == "CC BY-NC 4.0" and "Kobayashi" in card["data"][0]["cite"]
    assert card["licence"] == "non-commercial research only" and card["name"] == "a"
    assert not {"out", "device"} & set(card["recipe"])
    assert str(finished) not in json.dumps(card) and str(ROOT) not in json.dumps(card)


def test_an_encoder_of_a_pool_is_bound_by_the_sets_that_it_saw(finished, tmp_path,
                                                               monkeypatch):
    """Of a part of the pool the members in that part, and no others."""
    monkeypatch.setenv("SJEPA_DATA", str(tmp_path))
    clips = [np.random.default_rng(k).normal(size=(4, 25, 3)) for k in range(4)]
    write_store(tmp_path / "pool", clips, [0, 1, 2, 2],
                classes=["hdm05: kick", "bandai: walk", "wmft: lift"])
    settings = load_encoder(finished)[1]["settings"] | {"dataset": "pool"}
    for part, sets in (("all", ["bandai", "hdm05", "wmft"]), ("public", ["hdm05", "wmft"])):
        card = make_card(settings | {"split": f"pool/{part}"}, "a")
        assert [each["set"] for each in card["data"]] == sets
    own = load_encoder(finished)[1]["settings"]
    assert make_card(own, "a")["data"][0]["licence"].startswith("MIT")


def test_what_cannot_be_exported_or_loaded_is_named(weights, finished):
    with pytest.raises(SjepaError, match="terms of the data set 'mine' are not known.*--data"):
        export(finished, weights / "a.safetensors", ["mine"])
    with pytest.raises(SjepaError, match="expected a file NAME.safetensors"):
        export(finished, weights / "a.bin")
    assert not weights.exists()
    with pytest.raises(SjepaError, match="'open': this copy comes with none; or give the folder"):
        load_pretrained("open")
    export(finished, weights / "tiny.safetensors")
    with pytest.raises(SjepaError, match="comes with tiny; or"):
        load_pretrained("open")
    with pytest.raises(SjepaError, match="holds no finished run"):
        load_pretrained(weights)


FAULTS = {
    "another depth": (lambda w, m: (w, m | {"depth": "3"}), "does not fit the shape"),
    "no heads": (lambda w, m: (w, m | {"heads": "0"}), "does not fit the shape"),
    "a weight gone": (lambda w, m: (dict(list(w.items())[1:]), m), "does not fit the shape"),
    "no whole segments": (lambda w, m: (w, m | {"frames": "33"}), "does not fit the shape"),
    "a word": (lambda w, m: (w, m | {"dim": "wide"}), "another architecture"),
    "no shape": (lambda w, m: (w, {"card": m["card"]}), "another architecture"),
    "more than a shape": (lambda w, m: (w, m | {"layers": "2"}), "another architecture"),
    "no card": (lambda w, m: (w, {k: v for k, v in m.items() if k != "card"}), "has no card"),
    "half a card": (lambda w, m: (w, m | {"card": '{"name": "a"}'}), "has no card"),
    "nulls": (lambda w, m: (w, m | {"card": json.dumps(dict.fromkeys(
        ("name", "data", "licence", "recipe")))}), "has no card"),
    "no JSON": (lambda w, m: (w, m | {"card": "{"}), "has no card"),
    "a list": (lambda w, m: (w, m | {"card": "[]"}), "has no card"),
    "cut": (None, "cannot be read"),
}


@pytest.mark.parametrize("change, said", FAULTS.values(), ids=FAULTS)
def test_faults_are_named_with_the_file(finished, weights, change, said):
    path = weights / "tiny.safetensors"
    export(finished, path)
    if change:
        with safe_open(path, "pt") as file:
            changed, metadata = change(load_file(path), file.metadata())
        save_file(changed, path, metadata)
    else:
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(SjepaError, match=said) as caught:
        load_pretrained("tiny")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", shipped() or [pytest.param("", marks=pytest.mark.skip(
    reason="no weights come with this copy"))])
def test_what_is_shipped_loads_and_states_its_terms(name):
    encoder, card = load_pretrained(name)
    assert isinstance(encoder, Encoder) and encoder.joints == 25 and card["name"] == name
    assert card["licence"] and all(each["licence"] != "not stated" for each in card["data"])
    assert (encoders.WEIGHTS / f"{name}.safetensors").stat().st_size < 5e6  # it lies in git
