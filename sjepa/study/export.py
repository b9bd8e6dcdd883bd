"""A finished run's encoder as one file that others can use, with a card of its data and terms."""

import json
from pathlib import Path

from safetensors.torch import save_file

from sjepa.checkpoint import what_counts
from sjepa.datasets import load_store
from sjepa.datasets.specs import known, names, spec
from sjepa.datasets.splits import split
from sjepa.encoder import encoder_metadata
from sjepa.errors import SjepaError
from sjepa.files import make_writable, save_atomically
from sjepa.protocols.encoders import BOUND, load_encoder


def make_card(settings: dict, name: str, sets: list[str] | None = None, licence: str = "") -> dict:
    """The card of the encoder of a pretraining with these settings.

    `sets` are the data sets that it saw; None: as the settings say, and of a pool as its store
    does. An empty `licence` says that the terms of the data bind the weights.
    """
    dataset, rule = settings["dataset"], known(settings["dataset"])
    if sets is None and rule and rule.members:
        store = load_store(dataset)
        train, _ = split(settings["split"], store)
        sets = sorted(set(rule.members(store)[train].tolist()))
    return {"name": name, "data": [_terms(each) for each in sets or [dataset]],
            "licence": licence or BOUND, "recipe": what_counts(settings)}


def _terms(name: str) -> dict[str, str]:
    """What binds those who use a data set, as far as it is known here."""
    if name.startswith("synthetic"):
        return {"set": name, "licence": "MIT, procedurally generated, no human data"}
    origin = getattr(known(name), "origin", None)
    if origin is None:
        there = ", ".join(each for each in names() if spec(each).origin)
        raise SjepaError(f"the terms of the data set {name!r} are not known: name those that it "
                         f"was made of with --data ({there})")
    return {"set": name, "title": origin.title, "licence": origin.licence, "terms": origin.terms,
            "cite": origin.cite}


def export(run: str | Path, out: str | Path, sets: list[str] | None = None,
           licence: str = "") -> dict:
    """Write a run's target encoder and its card into `out`, `NAME.safetensors`; gives the card.

    Raises:
        SjepaError: no finished run, another suffix, data whose terms are not known, or a folder
            that cannot be written.
    """
    out = Path(out)
    if out.suffix != ".safetensors":
        raise SjepaError(f"{out}: expected a file NAME.safetensors to write to")
    encoder, result = load_encoder(run)
    card = make_card(result["settings"], out.stem, sets, licence)
    metadata = encoder_metadata(encoder) | {"card": json.dumps(card)}
    make_writable(out.absolute().parent)
    save_atomically(lambda path: save_file(encoder.state_dict(), path, metadata), out)
    return card
