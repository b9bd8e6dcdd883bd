"""Who is who in a tree of joints: a person's parts, by their names and by the tree itself.

A person's tree has two pairs of limbs that mirror each other; the arms are those that hang where
the head does. Of a limb's bones, the two consecutive ones of which the shorter is longest are
thigh and shin, or upper arm and forearm, whatever lies before and behind them: collar bones,
buttocks, fingers. Names say which side a limb is of; where they do not, the toes tell.
"""

import re
from collections.abc import Collection, Sequence
from itertools import combinations, pairwise

import numpy as np

from sjepa.datasets.formats.bvh import Bvh
from sjepa.errors import SjepaError

_SIDE_WORDS = {"left": {"left", "l", "lft", "lt", "lf", "左"},
               "right": {"right", "r", "rgt", "rt", "右"}}
SIDES = tuple(_SIDE_WORDS)
_LEG = re.compile("leg|thigh|knee|foot|ankle|shin|calf|toe|femur|tibia|足")
_ARM = re.compile("arm|hand|elbow|wrist|should|shldr|collar|clav|humer|radius|腕")
#: Joints of no limb: they turn the skin, hold things or move the face.
_HELPER = re.compile("twist|sharebone|eye|jaw|teeth|tongue|hair|breast|facial|skirt|pectoral|"
                     r"metatars|\b(roll|ik|pole|target|brow|lip|lips|ear|nose|prop|weapon|cloth|bust)\b|捩")
_TIP = re.compile(r"\b(end|nub|top|tip)\b")
_PLAIN = re.compile("(l|r)(?=up|low|hip|knee|ankle|foot|toe|thigh|shin|calf|leg|arm|fore|hand|elb|"
                    "wri|should|shldr|coll|clav|butt|fem|tib|hum|rad)|(left|right)|.*(left|right)$")
MAX_JOINTS = 1000
#: Parts of a limb, from the trunk outwards.
LEG, ARM = ("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")
#: Joints of NTU-25 from which all others can be derived.
NEEDED = ("head", *(f"{side} {part}" for side in SIDES for part in (*ARM, *LEG)))


def words(name: str) -> str:
    """The words of a joint's name in lower case, without a prefix such as `mixamorig:`."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W_]", re.split("[:|]", name)[-1])
    return " ".join(parts).lower()


def side_of(name: str) -> str:
    """`left`, `right`, or nothing if the name does not say."""
    found = words(name).split()
    if plain := _PLAIN.match("".join(found)):
        found.append(next(filter(None, plain.groups())))
    return next((side for side in SIDES if _SIDE_WORDS[side] & {*found}), "")


def bare(name: str, noise: Collection[str] = ()) -> str:
    """A name without what tells the side, and without the words `noise`."""
    sides = {*noise}.union(*_SIDE_WORDS.values())
    found = "".join(word for word in words(name).split() if word not in sides)
    return re.sub("^(left|right|l|r)|(left|right)$", "", found) if side_of(name) else found


class _Tree:
    """A tree of joints in motion; joints are numbers, parents before their children."""

    def __init__(self, bvh: Bvh):
        self.joints, self.parents, self.x = bvh.joints, bvh.parents, bvh.positions
        self.some = self.x[:: max(len(self.x) // 64, 1)]  # frames enough for a median
        self.side = [side_of(joint) for joint in self.joints]
        self.helper = [bool(_HELPER.search(words(joint))) for joint in self.joints]
        self.bone = [self.gap(k, max(up, 0)) for k, up in enumerate(self.parents)]
        self.below: list[list[int]] = [[] for _ in self.joints]
        self.reach = [0.0] * len(self.joints)  # along the bones to the furthest end
        for k in reversed(range(1, len(self.joints))):
            if self.below[k] or not self.helper[k]:  # a branch of helpers alone is none
                up = self.parents[k]
                self.below[up].insert(0, k)
                self.reach[up] = max(self.reach[up], self.reach[k] + self.bone[k])

    def gap(self, a: int, b: int) -> float:
        """How far two joints are apart, in the median."""
        return float(np.median(np.linalg.norm(self.some[:, a] - self.some[:, b], axis=-1)))

    def chain(self, joint: int) -> list[int]:
        """Outwards from a joint, always to where the end is furthest."""
        out = [joint]
        while below := self.below[out[-1]]:
            out.append(max(below, key=lambda k: self.reach[k] + self.bone[k]))
        return out

    def path(self, joint: int) -> list[int]:
        """From the root to a joint."""
        out = [joint]
        while out[0]:
            out.insert(0, self.parents[out[0]])
        return out

    def meeting(self, a: int, b: int) -> int:
        """The outermost joint on both paths."""
        return [k for k, other in zip(self.path(a), self.path(b), strict=False) if k == other][-1]

    def branch(self, joint: int) -> set[int]:
        """A joint and all that hang on it."""
        out = [joint]
        for k in out:
            out += self.below[k]
        return set(out)

    def limb(self, joint: int) -> list[int]:
        """Where a limb's two long bones begin, meet and end, and what comes behind; or nothing."""
        chain = [joint]
        for k in self.chain(joint)[1:]:
            if not self.helper[k] and self.gap(k, chain[-1]) > 0.02 * self.reach[joint]:
                chain.append(k)
        gaps = [min(self.gap(a, b), self.gap(b, c))
                for a, b, c in zip(chain, chain[1:], chain[2:], strict=False)]
        return chain[int(np.argmax(gaps)):] if gaps else []

    def alike(self, a: int, b: int) -> bool:
        """Whether two branches of one joint have their joints at the same distances."""
        one, two = (np.cumsum([self.bone[k] for k in self.chain(joint)]) for joint in (a, b))
        return (self.parents[a] == self.parents[b] and len(one) == len(two)
                and np.abs(one - two).max() < 0.1 * one[-1])

    def pairs(self) -> list[tuple[int, int]]:
        """Limbs that mirror each other, by where they begin; longest first, none in another."""
        found = []
        long = [k for k, reach in enumerate(self.reach) if reach > 0.15 * self.reach[0]]
        for a, b in combinations([k for k in long if k and self.limb(k)], 2):
            sides = {self.side[a], self.side[b]}
            named = sides == {*SIDES} and bare(self.joints[a]) == bare(self.joints[b])
            if named or sides in ({*SIDES}, {""}) and self.alike(a, b):
                found.append((named, min(self.reach[a], self.reach[b]), a, b))
        pairs, taken = [], set()
        for *_, a, b in sorted(found, reverse=True):
            inside = self.branch(a) | self.branch(b)
            if not inside & taken:
                pairs.append((a, b))
                taken |= inside
        return pairs

    def votes(self, pair: tuple[int, int]) -> int:
        """How many names speak for a leg, less those for an arm."""
        names = [words(self.joints[k]) for k in self.chain(pair[0])]
        return sum(bool(_LEG.search(name)) - bool(_ARM.search(name)) for name in names)

    def legs_and_arms(self) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """The two pairs of limbs, or nothing if they are not there."""
        pairs = self.pairs()
        legs, rest, arms = ([pair for pair in pairs if np.sign(self.votes(pair)) == sign]
                            for sign in (1, 0, -1))
        if not legs and not arms:
            rest = sorted(rest[:2], key=lambda pair: self.head_chain(pair, rest[:2])[1])
            legs, arms = rest[:1], rest[1:]
        legs, arms = legs or rest, arms or rest
        return (legs[0], arms[0]) if legs and arms else None

    def head_chain(self, arms: tuple[int, int], pairs) -> tuple[list[int], float]:
        """What hangs beside the arms and holds no limb, outwards from there, and its length."""
        limbs = {k for pair in pairs for k in pair}
        at = self.meeting(*arms)
        free = [k for k in self.below[at] if not self.branch(k) & limbs]
        top = max(free, key=lambda k: self.reach[k] + self.bone[k], default=None)
        return (self.chain(top), self.reach[top] + self.bone[top]) if top is not None else ([], 0.0)

    def head(self, arms: tuple[int, int], legs: tuple[int, int]) -> list[int]:
        """Neck, the joint at which the head begins, and its top where there is one."""
        named = [k for k, joint in enumerate(self.joints) if not self.helper[k]
                 and re.search("head|頭", words(joint)) and not _TIP.search(words(joint))]
        chain = self.head_chain(arms, (arms, legs))[0]
        if named:
            path = self.path(named[0])
            chain = path[path.index(self.meeting(arms[0], named[0])) + 1 :]
            behind = self.chain(named[0])[1:]
        elif chain:  # the skull begins no further from the neck's root than a fifth of a leg
            near = [k for k in chain if self.gap(k, chain[0]) < 0.2 * self.reach[legs[0]]
                    and not _TIP.search(words(self.joints[k]))]
            behind = [k for k in chain if self.gap(k, chain[0]) > 0.25 * self.reach[legs[0]]]
            chain = near
        if not chain:
            return []
        neck = next((k for k in chain if "neck" in words(self.joints[k])), chain[0])
        return [neck, chain[-1], *behind[:1]]


def find_person(bvh: Bvh, where: str) -> tuple[dict[str, np.ndarray], dict[str, int], bool]:
    """A person's parts in a BVH file that was read with its End Sites.

    Returns:
        Positions `[T, 3]` of neck and head; joint of NTU-25 to the number of the file's, of all
        others that are there; and whether the names tell left from right.

    Raises:
        SjepaError: no two legs, two arms and a head are found; the tree is shown.
    """
    if len(bvh.joints) > MAX_JOINTS:
        raise SjepaError(f"{where} has {len(bvh.joints)} joints, more than {MAX_JOINTS}: give the "
                         "body without clothes and fingers")
    tree = _Tree(bvh)
    limbs = tree.legs_and_arms()
    head = tree.head(limbs[1], limbs[0]) if limbs else []
    if not head:
        raise SjepaError(f"{where}: found no two legs, two arms and a head in the tree of joints "
                         f"{outline(bvh.joints, bvh.parents)}: {fill_in()}")
    places: dict[str, int] = {}
    for pair, names in zip(limbs, ((*LEG, "foot"), ARM), strict=True):
        for joint, side in zip(sorted(pair, key=lambda k: tree.side[k]), SIDES, strict=True):
            places |= zip((f"{side} {part}" for part in names), tree.limb(joint), strict=False)
    parts = _trunk(tree, tree.meeting(*limbs[0]), head, places)
    return parts, places, all(tree.side[k] for pair in limbs for k in pair)


def leg_length(parts: dict[str, np.ndarray], there=slice(None)) -> float:
    """Of the left leg, in the median over the frames in which it is there."""
    return sum(np.median(np.linalg.norm(parts[f"left {a}"] - parts[f"left {b}"], axis=-1)[there])
               for a, b in pairwise(LEG))


def _trunk(tree: _Tree, base: int, head: list[int], places: dict) -> dict[str, np.ndarray]:
    """Puts the spine into `places`; positions of neck and head, which no joint has."""
    at = {part: tree.x[:, k] for part, k in places.items()}
    leg, hips, chest = leg_length(at), *((at[f"left {part}"] + at[f"right {part}"]) / 2
                                         for part in ("hip", "shoulder"))
    neck, skull, *behind = head
    if np.median(np.linalg.norm(tree.x[:, base] - hips, axis=-1)) < 0.35 * leg:
        places["spine base"], hips = base, tree.x[:, base]
    if neck != skull:  # else the head hangs on the chest
        places["spine shoulder"], chest = neck, tree.x[:, neck]
    line = chest - hips
    line /= np.maximum((line**2).sum(-1, keepdims=True), 1e-12)
    share = {k: np.median(((tree.x[:, k] - hips) * line).sum(-1)) for k in tree.path(neck)[:-1]}
    middle = min(share, key=lambda k: abs(share[k] - 0.6), default=None)
    if middle is not None and 0.35 < share[middle] < 0.85:
        places["spine mid"] = middle
    up = tree.x[:, skull] - chest
    if behind and 0.08 * leg < tree.gap(behind[0], skull) < 0.6 * leg:
        top = (tree.x[:, skull] + tree.x[:, behind[0]]) / 2
    else:  # two and a half times as far from the neck's root as the skull's beginning
        length = np.median(np.linalg.norm(up, axis=-1))
        further = np.clip(1.5 * length, 0.08 * leg, 0.35 * leg) / max(length, 1e-12)
        top = tree.x[:, skull] + further * up
    return {"neck": chest + 0.5 * up, "head": top}


def outline(joints: Sequence[str], parents: Sequence[int]) -> str:
    """A tree in one line, `Hips(Spine(Neck) LeftUpLeg(LeftLeg))`, at most 2,000 letters of it."""
    text, above = "", []
    for k, up in enumerate(parents):
        if joints[k].endswith(" end"):
            continue
        back = len(above) - 1 - above.index(up) if above else 0
        text += (")" * (back - 1) + " " if back else "(" * bool(above)) + joints[k]
        above = [*above[: len(above) - back], k]
    return text[:2000]


def fill_in() -> str:
    """What to do where nothing is understood: the mapping to fill in."""
    blanks = ", ".join(f"{joint}: ?" for joint in NEEDED)
    return ("pass mapping=, a dict or a YAML file, with a joint of the file for each ?, and for "
            f"other joints of NTU-25 if there are any: {{{blanks}}}")
