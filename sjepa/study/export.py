"""A finished run's encoder as one file that others can use, with a card of its data and terms."""

import json
from pathlib import Path

from safetensors.torch import save_file

from sjepa.checkpoint import save_atomically, what_counts
from sjepa.datasets import load_store
from sjepa.datasets.specs import known, names, spec
from sjepa.datasets.splits import split
from sjepa.encoder import encoder_metadata
from sjepa.errors import SjepaError
from sjepa.protocols.encoders import BOUND, load_encoder


def make_card(settings: dict, name: str, sets: list[str] | None = None, licence: str = "") -> dict:
    """The card of the encoder of a pretraining with these settings.

    `sets` are the data sets that it saw; None: as the settings say, and of a pool as its store
    does. An empty `licence` says that the terms of the data bind the weights.
    """
    sets = sets or _seen(settings["split"])
    return {"name": name, "data": [_terms(each) for each in sets], "licence": licence or BOUND,
            "recipe": what_counts(settings)}


def _seen(name: str) -> list[str]:
    """The sets that training clips of the split `name` come from: of a pool, its members."""
    dataset = name.partition("/")[0]
    rule = known(dataset)
    if rule is None or rule.members is None:
        return [dataset]
    store = load_store(dataset)
    return sorted(set(rule.members(store)[split(name, store)[0]].tolist()))


def _terms(name: str) -> dict[str, str]:
    """What binds those who use a data set, as far as it is known here."""
    if name.startswith("synthetic"):
        return {"set": name, "licence": "MIT, procedurally generated, no human data"}
    origin = spec(name).origin if name in names() else None
    if origin is None:
        known = ", ".join(each for each in names() if spec(each).origin)
        raise SjepaError(f"the terms of the data set {name!r} are not known: name those that it "
                         f"was made of with --data ({known})")
    return {"set": name, "title": origin.title, "licence": origin.licence, "terms": origin.terms,
            "cite": origin.cite}


def export(run: str | Path, out: str | Path, sets: list[str] | None = None,
           licence: str = "") -> dict:
    """Write a run's target encoder and its card into `out`, a `NAME.safetensors`, in float32.

    Returns:
        The card; see `make_card` for what it is made of.

    Raises:
        SjepaError: no finished run, another suffix, or data whose terms are not known.
    """
    out = Path(out)
    if out.suffix != ".safetensors":
        raise SjepaError(f"{out}: expected a file NAME.safetensors to write to")
    encoder, result = load_encoder(run)
    card = make_card(result["settings"], out.stem, sets, licence)
    metadata = encoder_metadata(encoder) | {"card": json.dumps(card)}
    save_atomically(lambda path: save_file(encoder.state_dict(), path, metadata), out)
    return card
