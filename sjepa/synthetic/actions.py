"""The synthetic actions: what a body does over time, as key poses between which we interpolate.

An action is a function of a `Style` that returns a list of keys, each `(seconds, pose)` or, for two
people, `(seconds, pose, partner's pose)`. Channels that a key does not name keep their value.
What the channels mean is told in `mannequin.py`. Everybody here is right-handed; a left-handed
subject plays the mirror image (`mirror`).
"""

import numpy as np

from sjepa.synthetic.mannequin import CHANNELS, ELBOW, HANG, PALM, REST, Style

_LOW_ELBOW = (0.6, -1.0, 0.2)  # for a hand in front of the face
_BOTH = dict(hands="hand", palms="palm", elbows="elbow", feet="foot", toes="toe")


def _sided(pose: dict) -> dict:
    """Spells out the shorthands that set both sides: `hands` → `r_hand` and `l_hand`, and so on."""
    pairs = [(k, v) for k, v in pose.items() if k not in _BOTH]
    pairs += [(f"{side}_{_BOTH[k]}", v) for k, v in pose.items() if k in _BOTH for side in "rl"]
    return dict(pairs)


def key(seconds: float, partner: dict | None = None, **pose):
    """One key pose; `hands`, `palms`, `elbows`, `feet`, `toes` set both sides."""
    return seconds, _sided(pose), _sided(partner or {})


_REST_POSE = {name: REST[part] for name, part in CHANNELS.items()}


def back(seconds: float):
    """Key: everybody returns to rest."""
    return seconds, _REST_POSE, _REST_POSE


def drink(s: Style):
    """One hand brings a cup to the mouth, the head tips back."""
    lift = (-0.10, -0.35, s.vary(0.4, 0.6))
    mouth = (s.vary(-0.26, -0.14), s.vary(0.10, 0.24), 0.34)
    sip = dict(r_hand=mouth, r_palm=(-0.7, 0.5, -0.3), r_elbow=_LOW_ELBOW,
               head=(0, s.vary(-25, -4), 0))
    return [key(0.6, r_hand=lift), key(0.5, **sip), key(s.vary(0.4, 1.3), **sip),
            key(0.5, r_hand=lift, head=0, r_palm=PALM), back(0.6)]


def phone_call(s: Style):
    """One hand goes to the ear and stays."""
    ear = dict(r_hand=(s.vary(-0.06, 0.06), s.vary(0.16, 0.30), s.vary(0.15, 0.32)),
               r_palm=(-0.5, 0.6, -0.4), r_elbow=_LOW_ELBOW,
               head=(0, s.vary(0, 12), s.vary(0, 15)))
    return [key(0.5, r_hand=(-0.05, -0.35, 0.5)), key(0.6, **ear), key(s.vary(0.6, 1.6), **ear),
            back(0.8)]


def brush_teeth(s: Style):
    """One hand goes to and fro before the mouth."""
    x, y, reach = s.vary(-0.22, -0.10), s.vary(0.08, 0.22), s.vary(0.04, 0.09)
    out = dict(r_hand=(x + reach, y, 0.35), r_palm=(-0.9, 0.3, -0.2), r_elbow=_LOW_ELBOW,
               head=(0, 6, 0))
    strokes = [key(s.vary(0.12, 0.2), r_hand=(x - reach, y - 0.02, 0.35)), key(0.15, **out)]
    return [key(0.9, **out), *strokes * s.times(4, 6), back(0.7)]


def wave(s: Style):
    """One raised hand swings from side to side."""
    up, swing = s.vary(0.2, 0.55), s.vary(0.1, 0.25)
    raised = dict(r_palm=(0, 0.6, 0.1), r_elbow=(0.7, -1, -0.2))
    out = key(s.vary(0.18, 0.32), r_hand=(0.30 + swing, up, 0.35), spine=(0, 0, -2))
    back_in = key(s.vary(0.18, 0.32), r_hand=(0.30 - swing, up + 0.03, 0.38))
    return [key(0.7, r_hand=(0.35, up, 0.35), **raised), *[back_in, out] * s.times(2, 4), back(0.7)]


def throw(s: Style):
    """One hand winds up and throws, the trunk turns with it."""
    twist, step = s.vary(12, 32), s.vary(0.0, 0.28)
    wind = dict(r_hand=(s.vary(0.3, 0.5), s.vary(0.2, 0.5), -0.2), r_elbow=(1, -0.6, 0.1),
                r_palm=(0, 0.4, -0.4), spine=(-twist, -5, 3), l_hand=(0.1, -0.55, 0.4))
    return [
        key(0.5, r_hand=(0.25, -0.3, 0.2), pelvis=(0.02, 0, 0)),
        key(0.45, **wind),
        key(0.12, l_foot=(0, 0.06 if step > 0.1 else 0, step / 2)),
        key(0.16, r_hand=(0.05, 0.45, 0.75), spine=(twist * 0.7, 12, -2), r_palm=(0, 0.2, 0.3),
            l_foot=(0, 0, step), pelvis=(-0.02, -0.02, step / 2)),
        key(0.25, r_hand=(-0.40, -0.45, 0.6), spine=(twist, 20, 0), l_hand=(0.2, -0.8, -0.2)),
        key(0.5, l_foot=(0, 0.03, step / 2), spine=(0, 5, 0)), back(0.4),
    ]


def point(s: Style):
    """One arm stretches out and holds."""
    aim = dict(r_hand=(s.vary(-0.4, 0.35), s.vary(-0.15, 0.3), 1.1), r_palm=(0, 0.1, 0.1),
               head=(s.vary(-12, 12), 0, 0), spine=(s.vary(-2, 14), 0, 0))
    return [key(s.vary(0.45, 0.8), **aim), key(s.vary(0.4, 1.3), **aim), back(0.8)]


def punch(s: Style):
    """A fist shoots forward and comes back."""
    guard = dict(hands=(-0.10, s.vary(-0.25, 0.05), 0.42), palms=(-0.2, 0.3, 0.2),
                 spine=(-8, 8, 0), pelvis=(0, -0.03, 0))
    hit = dict(r_hand=(-0.28, s.vary(-0.05, 0.12), 1.1), spine=(s.vary(12, 28), 8, 0),
               r_palm=(0, 0, 0.1))
    left = dict(l_hand=(-0.28, 0.0, 1.1), spine=(-22, 8, 0)) if s.often(0.5) else {}
    blows = [key(0.14, **hit), key(0.24, **guard), key(0.16, **left), key(0.24, **guard)]
    return [key(0.5, **guard), *blows * s.times(1, 2), back(0.7)]


def clap(s: Style):
    """Both hands meet again and again."""
    up, forward, wide = s.vary(-0.4, 0.0), s.vary(0.45, 0.6), s.vary(0.0, 0.15)
    close = key(0.14, hands=(-0.30, up, forward), palms=(-0.15, 0.1, 0.4))
    opened = key(s.vary(0.14, 0.22), hands=(wide, up - 0.03, forward - 0.06))
    return [key(0.6, **opened[1]), *[close, opened] * s.times(3, 6), back(0.6)]


def put_on_hat(s: Style):
    """Both hands or one lift a hat onto the head; backwards, they take it off."""
    hold = dict(hands=(-0.12, -0.45, 0.5), palms=(-0.3, 0.3, 0.3))
    over = dict(hands=(-0.02, s.vary(0.62, 0.75), 0.25), palms=(-0.5, 0.2, 0.0),
                elbows=(1, -0.3, 0.2), head=(0, 5, 0))
    down = dict(hands=(-0.04, 0.50, 0.18), palms=(-0.6, 0.2, -0.1), elbows=(1, -0.4, 0.2))
    keys = [key(0.7, **hold), key(0.2, **hold), key(0.6, **over), key(0.3, **down),
            key(s.vary(0.1, 0.5), **down),  # then down in front, not through the shoulder
            key(0.4, hands=(0.05, -0.2, 0.5), elbows=ELBOW, palms=PALM), back(0.5)]
    if s.often(0.4):  # with one hand: the other one keeps hanging
        keys = [(t, {n: v for n, v in p.items() if n[:2] != "l_"}, q) for t, p, q in keys]
    return keys


def bow(s: Style):
    """The trunk bends forward and comes up."""
    depth = s.vary(0.5, 1.0)
    down = np.radians(64 * depth)  # in the frame of the chest the arms swing forward, to hang
    low = dict(turn=(0, 40 * depth, 0), spine=(0, 40 * depth, 0), head=(0, 15, 0),
               pelvis=(0, -0.01, -0.14 * depth),
               hands=(0.05, -0.95 * np.cos(down), 0.95 * np.sin(down)))
    return [key(0.8, **low), key(s.vary(0.2, 0.8), **low), back(0.9)]


def pick_up(s: Style):
    """The body goes down and one hand lifts something that stands low."""
    knees = s.vary(0.0, 1.0)  # from a stiff stoop to a full squat
    low = dict(pelvis=(0, -0.20 - 0.20 * knees, -0.13), turn=(0, 62 - 22 * knees, 0),
               spine=(0, 42, 0), r_hand=(-0.2, -0.2, 0.97), l_hand=(0.0, -0.45, 0.55),
               head=(0, -10, 0), r_palm=(0, -0.2, 0.2))
    got = dict(r_hand=(-0.1, -0.35, 0.5), turn=0, spine=(0, 4, 0), pelvis=0, head=(0, 10, 0),
               l_hand=HANG)
    return [key(0.9, **low), key(0.25, **low), key(0.8, **got), key(0.3, **got), back(0.5)]


def squat(s: Style):
    """The knees bend deep, the feet stay."""
    depth, arms = s.vary(0.28, 0.45), s.often(0.6)
    hands = dict(hands=(-0.05, 0.45, 0.8)) if arms else dict(hands=(-0.2, -0.35, 0.5))
    low = dict(pelvis=(0, -depth, -0.22), turn=(0, 80 * depth, 0), spine=(0, 10, 0), **hands)
    up = dict(pelvis=0, turn=0, spine=0, hands=(-0.05, -0.1, 0.9) if arms else HANG)
    return [*[key(0.7, **low), key(0.15, **low), key(0.6, **up)] * s.times(1, 2), back(0.5)]


def jump(s: Style):
    """The knees bend, the body leaves the floor and lands."""
    dip, high, arms = s.vary(0.10, 0.24), s.vary(0.14, 0.36), s.often(0.6)
    swing_back = dict(hands=(0.15, -0.8, -0.4)) if arms else {}
    swing_up = dict(hands=(0.15, 0.45, 0.7)) if arms else {}
    crouch = dict(pelvis=(0, -dip, -0.08), turn=(0, 110 * dip, 0), spine=(0, 10, 0))
    hop = [
        key(0.40, **crouch, **swing_back),
        key(0.17, pelvis=(0, 0.01, 0), turn=0, spine=0, feet=0, toes=0, hands=(0.15, -0.4, 0.5)),
        key(0.18, pelvis=(0, high, 0), feet=(0, high - 0.01, 0), toes=35, **swing_up),
        key(0.18, pelvis=(0, 0.0, 0), feet=0, toes=0),
        key(0.15, pelvis=(0, -dip * 0.7, -0.05), turn=(0, 60 * dip, 0), hands=(0.2, -0.6, 0.35)),
    ]
    return [*hop * s.times(1, 2), back(0.5)]


def kick(s: Style):
    """One leg swings forward."""
    high = s.vary(0.22, 0.5)
    return [
        key(0.4, pelvis=(-0.09, -0.01, 0), r_foot=(0, 0.12, -0.28), r_toe=40, spine=(0, 6, 0),
            r_hand=(0.2, -0.8, 0.35), l_hand=(0.3, -0.75, -0.2)),
        key(0.2, pelvis=(-0.09, -0.01, 0.02), r_foot=(0, high, 1.0 - 0.2 * high), r_toe=-25,
            turn=(8, -12, 0), spine=(0, 10, 0), r_hand=(0.3, -0.75, -0.25),
            l_hand=(0.1, -0.6, 0.55)),
        key(0.3, r_foot=(0, 0.15, 0.15), r_toe=0, turn=0, pelvis=(-0.08, -0.01, 0)),
        key(0.25, r_foot=0, pelvis=(-0.03, 0, 0)), back(0.4),
    ]


def sit_down(s: Style):
    """The body sits down on a chair; backwards, it stands up."""
    hands = (s.vary(-0.25, 0.0), -0.62, 0.5)
    lean = dict(pelvis=(0, -0.25, -0.28), turn=(0, s.vary(25, 45), 0), spine=(0, 18, 0),
                hands=(0.0, -0.55, s.vary(0.2, 0.6)))
    seat = dict(pelvis=(0, s.vary(-0.5, -0.42), -0.45), turn=(0, s.vary(-12, 4), 0),
                spine=(0, 8, 0), hands=hands)
    return [key(s.vary(0.5, 0.8), **lean), key(0.5, **seat), key(s.vary(0.2, 0.9), **seat)]


def walk_in_place(s: Style):
    """Feet and arms alternate on the spot."""
    high, swing, pace = s.vary(0.10, 0.28), s.vary(0.08, 0.35), s.vary(0.22, 0.34)
    arm = lambda side: (0.12, -0.88 + 0.3 * abs(side), 0.12 + side)  # noqa: E731
    steps = [
        key(pace, r_foot=(0, high, 0.10), r_toe=25, pelvis=(-0.04, 0, 0), spine=(-4, 2, 0),
            l_hand=arm(swing), r_hand=arm(-swing * 0.7)),
        key(pace, r_foot=0, r_toe=0, pelvis=(0, -0.015, 0), hands=arm(0)),
        key(pace, l_foot=(0, high, 0.10), l_toe=25, pelvis=(0.04, 0, 0), spine=(4, 2, 0),
            r_hand=arm(swing), l_hand=arm(-swing * 0.7)),
        key(pace, l_foot=0, l_toe=0, pelvis=(0, -0.015, 0), hands=arm(0)),
    ]
    return [*steps * s.times(2, 3), back(0.4)]


def shake_hands(s: Style):
    """Two people: right hands meet and go up and down."""
    give = dict(r_hand=(-0.30, -0.30, 0.75), spine=(6, 6, 0), r_palm=(0, 0.1, 0.1))
    low, high = (dict(give, meet=1, r_hand=(-0.30, up, 0.75)) for up in (-0.38, -0.22))
    shakes = [key(0.16, low, **low), key(0.16, high, **high)]
    return [key(s.vary(0.6, 0.9), give, **give), *shakes * s.times(2, 4), back(0.8)]


def high_five(s: Style):
    """Two people: raised right hands clap together."""
    up = s.vary(0.35, 0.65)
    wind = dict(r_hand=(0.15, up - 0.05, 0.25), r_palm=(0, 0.6, 0.1), r_elbow=(0.7, -1, -0.2))
    slap = dict(wind, r_hand=(-0.25, up, 0.72), spine=(10, 4, 0), meet=1)
    late = dict(wind, meet=0)
    return [key(0.7, wind, **wind), key(0.22, slap, **slap), key(0.12, slap, **slap),
            key(0.25, late, **late), back(0.7)]


def push(s: Style):
    """Two people: one pushes, the other gives way."""
    step, far = s.vary(0.15, 0.35), s.vary(0.15, 0.3)
    fall = dict(turn=(0, -10, 0), spine=(0, s.vary(-5, 14), 0), head=(0, 12, 0),
                hands=(0.3, -0.6, 0.4), pelvis=(0, -0.04, -far * 0.8),
                r_foot=(0, 0.05, -far))
    caught = dict(fall, r_foot=(0, 0, -far * 1.5), pelvis=(0, -0.05, -far), turn=0)
    return [
        key(0.5, hands=(-0.10, -0.15, 0.35), palms=(0, 0.6, 0.2), r_foot=(0, 0.06, step / 2)),
        key(0.2, r_foot=(0, 0, step), pelvis=(0, -0.02, step * 0.7)),
        key(0.18, fall, hands=(-0.12, 0.0, 0.92), spine=(0, 14, 0), turn=(0, 6, 0)),
        key(0.25, caught),
        key(0.4, caught, hands=(0.0, -0.6, 0.4), spine=0, r_foot=(0, 0.03, step / 2)),
        back(0.6),
    ]


def hug(s: Style):
    """Two people: both step near and hold each other."""
    near = s.vary(0.17, 0.23)
    opened = dict(r_hand=(0.1, 0.0, 0.75), l_hand=(0.1, -0.3, 0.75), r_foot=(0, 0.04, near / 2))
    walked = dict(r_foot=(0, 0, near), pelvis=(0, -0.02, near * 0.6))
    held = dict(r_hand=(-0.30, 0.10, 0.72), l_hand=(-0.25, -0.35, 0.65), palms=(-0.8, 0, 0),
                l_foot=(0, 0, near), pelvis=(0, 0, near), spine=(0, 2, 0), head=(12, 0, 8),
                elbows=(1, -0.3, 0.1))
    leave = dict(r_foot=(0, 0.04, near / 2), hands=(0.1, -0.6, 0.55), spine=0, head=0,
                 pelvis=(0, 0, 0.6 * near), palms=PALM, elbows=ELBOW)
    left = dict(r_foot=0, l_foot=(0, 0.04, near / 2), pelvis=(0, 0, 0.2 * near))
    return [key(0.6, opened, **opened), key(0.3, walked, **walked), key(0.4, held, **held),
            key(s.vary(0.3, 0.9), held, **held), key(0.5, leave, **leave),
            key(0.35, left, **left), back(0.4)]


#: name, function, played backwards. The pairs sit/stand and hat on/off differ by order in time.
SCRIPTS = (
    ("drink", drink, False), ("phone call", phone_call, False), ("brush teeth", brush_teeth, False),
    ("wave", wave, False), ("throw", throw, False), ("point", point, False),
    ("punch", punch, False), ("clap", clap, False), ("put on hat", put_on_hat, False),
    ("take off hat", put_on_hat, True), ("bow", bow, False), ("pick up", pick_up, False),
    ("squat", squat, False), ("jump", jump, False), ("kick", kick, False),
    ("sit down", sit_down, False), ("stand up", sit_down, True),
    ("walk in place", walk_in_place, False), ("shake hands", shake_hands, False),
    ("high five", high_five, False), ("push", push, False), ("hug", hug, False))

#: How far apart two people start, in mean arm lengths.
GAPS = {"shake hands": 1.75, "high five": 1.65, "push": 1.75, "hug": 1.55}
