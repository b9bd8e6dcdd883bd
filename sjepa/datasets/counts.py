"""The clips of a store beside those that its owners count, in words."""

from __future__ import annotations

from sjepa.datasets.origins import CONTENT, content_fingerprint
from sjepa.datasets.sources.ntu_names import missing_from
from sjepa.datasets.splits import SPLITS, split
from sjepa.datasets.store import Store
from sjepa.errors import SjepaError

#: Usable clips: of NTU as the owners' lists of names have them, of PKU-MMD as secondary sources say
#: (no public list confirms them), of the open sets as this project counted them.
USABLE = {"ntu60": 56_578, "ntu120": 113_945, "pku1": 21_545, "pku2": 6_945, "nwucla": 1_484,
          "kindergator": 1_159, "hdm05": 288, "bandai": 3_076}


def count_report(store: Store) -> dict:
    """What the store holds, protocol by protocol.

    Returns:
        A dict with `clips` and `official` (None where nobody counts); `splits`, for each protocol
        what was `found` (None where the clips do not make it, `why` then says so) and what is
        `official`; `left_out`, a count a reason; and `words`, the same as sentences.
    """
    name = store.meta["name"]
    official = USABLE.get(name)
    reasons: dict[str, int] = {}
    for _, why in store.meta["left_out"]:
        kind = why.split(": ", 1)[-1]  # behind the clip's own name, if the reason begins with it
        reasons[kind] = reasons.get(kind, 0) + 1
    known = f" (official: {official:,} clips)" if official else ""
    words = [f"{name}: {len(store):,} clips, {len(store.frames):,} frames, "
             f"{len(store.classes)} classes{known}"]
    words += [f"left out {count:,}: {why}" for why, count in sorted(reasons.items())]
    found = {}
    for each, rule in SPLITS.items():
        if not each.startswith(f"{name}/"):
            continue
        try:
            sides = tuple(map(len, split(each, store)))
        except SjepaError as error:  # a part of the set is a store too, but not a protocol
            found[each] = {"found": None, "official": rule.counts, "why": str(error)}
            words.append(f"{each}: not to be had, {error}")
            continue
        found[each] = {"found": sides, "official": rule.counts}
        says = "as expected" if sides == rule.counts else (
            f"expected are {rule.counts[0]:,} and {rule.counts[1]:,}"
            if rule.counts else "nobody counts them")
        words.append(f"{each}: {sides[0]:,} training and {sides[1]:,} test clips, {says}")
    if name in ("ntu60", "ntu120") and not store.meta["lists"]:  # an npz has no names
        words += missing_from(store.names.tolist(), name)
    if name in CONTENT:
        same = content_fingerprint(store) == CONTENT[name]
        words.append("content: clip for clip that of the conversion this project measured on"
                     if same else "content: NOT that of the conversion this project measured on "
                     "(other clips, labels or lengths)")
    return {"clips": len(store), "official": official, "splits": found, "left_out": reasons,
            "words": words}
