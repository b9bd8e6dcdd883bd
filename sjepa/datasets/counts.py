"""The clips of a store beside those that its owners count, in words."""

from __future__ import annotations

import hashlib

from sjepa.datasets.specs import Content
from sjepa.datasets.specs import known as known_set
from sjepa.datasets.splits import split
from sjepa.datasets.store import Store
from sjepa.errors import SjepaError


def content_rows(store: Store) -> list[str]:
    """A line a clip: its class, subject, view, setup and length in frames; sorted."""
    columns = (store.labels, store.subjects, store.views, store.setups, store.lengths)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return sorted(" ".join(map(str, row)) for row in rows)


def content_fingerprint(store: Store) -> Content:
    """Clips, frames, and a hash of `content_rows`.

    It is the same for a store of the owners' files and one of their conversion, in float32 and in
    int16: neither the order of the clips, nor their names, nor the rounding of positions is in it.
    """
    digest = hashlib.sha256("\n".join(content_rows(store)).encode()).hexdigest()
    return Content(len(store), int(store.lengths.sum()), digest)


def count_report(store: Store) -> dict:
    """What the store holds, protocol by protocol.

    Returns:
        A dict with `clips` and `official` (None where nobody counts); `splits`, for each protocol
        what was `found` (None where the clips do not make it, `why` then says so) and what is
        `official`; `left_out`, a count a reason; `words`, the same as sentences; and `faults`,
        what differs from the official counts and content, empty where nothing does.
    """
    name = store.meta["name"]
    known = known_set(name)
    official = known.clips if known else None
    listed = bool(store.sides)  # the store carries its splits: of one protocol alone, perhaps
    protocols = {each: rule.counts for each, rule in known.splits.items()
                 if not listed or each in store.sides} if known else {}
    protocols |= {each: None for each in store.sides if each not in protocols}
    reasons: dict[str, int] = {}
    for _, why in store.meta["left_out"]:
        kind = why.split(": ", 1)[-1]  # behind the clip's own name, if the reason begins with it
        reasons[kind] = reasons.get(kind, 0) + 1
    words = [f"{name}: {len(store):,} clips, {len(store.frames):,} frames, "
             f"{len(store.classes)} classes" + (f" (official: {official:,} clips)" if official
                                                else "")]
    words += [f"left out {count:,}: {why}" for why, count in sorted(reasons.items())]
    found, faults = {}, []
    if official not in (None, len(store)):
        faults.append(f"{len(store):,} clips and not {official:,}")
    for protocol, counts in protocols.items():
        each = f"{name}/{protocol}"
        try:
            sides = tuple(map(len, split(each, store)))
        except SjepaError as error:  # a part of the set is a store too, but not a protocol
            found[each] = {"found": None, "official": counts, "why": str(error)}
            words.append(f"{each}: not to be had, {error}")
            faults.append(f"no {each}")
            continue
        found[each] = {"found": sides, "official": counts}
        says = "as expected" if sides == counts else (
            f"expected are {counts[0]:,} and {counts[1]:,}" if counts else "nobody counts them")
        words.append(f"{each}: {sides[0]:,} training and {sides[1]:,} test clips, {says}")
        if counts not in (None, sides):
            faults.append(f"other counts in {each}")
    if known and known.lacks and not listed:  # an npz has no names
        words += known.lacks(store.names.tolist())
    if known and known.content and not listed:
        same = content_fingerprint(store) == known.content
        words.append("content: clip for clip that of the conversion this project measured on"
                     if same else "content: NOT that of the conversion this project measured on "
                     "(other clips, labels or lengths)")
        faults += [] if same else ["other content"]
    return {"clips": len(store), "official": official, "splits": found, "left_out": reasons,
            "words": words, "faults": faults}
