"""Encoders that are ready to use: of a run, of an exported file, or one that comes with `sjepa`.

An exported file is a run's target encoder as safetensors. Its metadata are the encoder's shape and
a card in JSON: on what data it was trained, under which terms, and how. Weights stay in float32,
3 MB for the preset `small`: float16 would halve that and give other features than the records have.

    python -m sjepa.pretrained export RUN OUT.safetensors --licence "non-commercial research only"
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from safetensors.torch import save_file

from sjepa.checkpoint import FREE, save_atomically
from sjepa.datasets.origins import ORIGINS
from sjepa.datasets.sources.pool import MEMBERS
from sjepa.encoder import Encoder
from sjepa.errors import SjepaError, main_with_errors
from sjepa.protocols.features import load_encoder, read_encoder

#: Folder of the encoders that come with the package, a file each.
WEIGHTS = Path(__file__).resolve().parent / "weights"
_CARD = {"name", "data", "licence", "recipe"}
_BUILT_IN = {"licence": "MIT, procedurally generated, no human data"}


def shipped() -> list[str]:
    """Names of the encoders that come with this copy of the package."""
    return sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))


def load_pretrained(name: str | Path) -> tuple[Encoder, dict]:
    """A frozen encoder and its card.

    Args:
        name: one of `shipped()`, the folder of a finished pretraining, or an exported file.

    Returns:
        The encoder on the CPU, and the card: `name`; `data`, a list of what it was trained on,
        each with `set`, `licence` and, of sets with owners, `title`, `terms` and `cite`; `licence`,
        what that means for the weights; `recipe`, the settings of `PretrainConfig`.

    Raises:
        SjepaError: nothing of that name, or a damaged file, or one of another architecture.
    """
    path = WEIGHTS / f"{name}.safetensors" if str(name) in shipped() else Path(name)
    if path.is_dir():
        encoder, facts = load_encoder(path)
        return encoder, make_card(facts, path.resolve().name)
    if not path.is_file():
        raise SjepaError(f"there is no pretrained encoder {str(name)!r}: this copy comes with "
                         f"{', '.join(shipped()) or 'none'}; or give the folder of a run, or a "
                         "file that sjepa.pretrained exported")
    encoder, stated = read_encoder(path)
    try:
        card = json.loads(stated["card"])
        if not isinstance(card, dict) or not set(card) >= _CARD:
            raise ValueError(f"it lacks one of {', '.join(sorted(_CARD))}")
    except (KeyError, ValueError) as error:
        raise SjepaError(f"{path} has no card of its data and licence ({error}): export it with "
                         "`python -m sjepa.pretrained export`") from error
    return encoder, card


def make_card(facts: dict, name: str, sets: list[str] | None = None, licence: str = "") -> dict:
    """The card of a run.

    Args:
        facts: of the run, as `load_encoder` gives them.
        name: of the encoder.
        sets: the data sets that were trained on, `pool` for its members; None: as the run says.
        licence: of the weights; empty: that the terms of the data bind them.
    """
    config = facts["config"]
    sets = sets or [config.get("dataset", "synthetic")]
    sets = [each for one in sets for each in (MEMBERS if one == "pool" else [one])]
    licence = licence or "bound by the terms of the data that the encoder was trained on"
    recipe = {key: value for key, value in config.items() if key not in FREE}
    return {"name": name, "data": [_terms(each) for each in sets], "licence": licence,
            "recipe": recipe}


def _terms(name: str) -> dict[str, str]:
    """What binds those who use a data set, as far as it is known here."""
    if name.startswith("synthetic"):
        return {"set": name} | _BUILT_IN
    if name not in ORIGINS:
        return {"set": name, "licence": "not stated"}
    origin = ORIGINS[name]
    return {"set": name, "title": origin.title, "licence": origin.licence, "terms": origin.terms,
            "cite": origin.cite}


def export(run: str | Path, out: str | Path, sets: list[str] | None = None,
           licence: str = "") -> dict:
    """Write a run's target encoder and its card into one file that `load_pretrained` reads.

    Args:
        run: the folder of a finished pretraining.
        out: the file, `NAME.safetensors`.
        sets, licence: see `make_card`.

    Returns:
        The card.

    Raises:
        SjepaError: no finished run, another suffix, or data whose terms are not known.
    """
    out = Path(out)
    if out.suffix != ".safetensors":
        raise SjepaError(f"{out}: expected a file NAME.safetensors to write to")
    encoder, facts = load_encoder(run)
    card = make_card(facts, out.stem, sets, licence)
    for each in card["data"]:
        if each["licence"] == "not stated":
            raise SjepaError(f"the terms of the data set {each['set']!r} are not known: name those "
                             f"that it was made of with --data ({', '.join(ORIGINS)})")
    metadata = {key: str(value) for key, value in encoder.shape.items()}
    metadata["card"] = json.dumps(card)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_atomically(lambda path: save_file(encoder.state_dict(), path, metadata), out)
    return card


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sjepa.pretrained", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    step = steps.add_parser("export", help="a finished run into one file")
    step.add_argument("run", help="folder of the pretraining")
    step.add_argument("out", help="NAME.safetensors")
    step.add_argument("--data", nargs="+", metavar="SET",
                      help="the sets that it was trained on; without it the run's own")
    step.add_argument("--licence", default="", help="of the weights, in a few words")
    args = parser.parse_args(argv)
    card = export(args.run, args.out, args.data, args.licence)
    named = "; ".join(f"{each['set']} ({each['licence']})" for each in card["data"])
    print(f"{args.out}: {card['licence']}; trained on {named}")


if __name__ == "__main__":
    main_with_errors(main)
