"""NTU RGB+D 120: NTU RGB+D 60 and as many actions again, of 106 people in 32 set-ups."""

from functools import partial

from sjepa.datasets.build import PrepareConfig
from sjepa.datasets.formats import ntu_clips
from sjepa.datasets.sources import ntu60
from sjepa.datasets.specs import DatasetSpec, Origin, Split, by_subject

#: Cross-subject training performers, NTU60's and 33 more.
TRAIN = ntu60.TRAIN + (
    45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86,
    89, 91, 92, 93, 94, 95, 97, 98, 100, 103,
)


def read(path, options: PrepareConfig):
    """One file's clip; the lineage copies one person's body into the second slot."""
    return ntu_clips.read(path, copied=options.second_body in ("copied", "lineage"))


SPEC = DatasetSpec(
    name="ntu120", title="NTU120", classes=ntu_clips.classes("ntu120"),
    files=partial(ntu_clips.files, name="ntu120"), read=read,
    needs="the owners' .skeleton files",
    splits={
        "xsub": Split(by_subject(TRAIN), (63_026, 50_919)),
        "xset": Split(lambda store: store.setups % 2 == 0, (54_468, 59_477)),
    },
    clips=113_945,
    origin=Origin(
        "NTU RGB+D 120", ntu60.PAGE, "research only, signed agreement",
        "for research only, by a signed agreement",
        "Liu, Shahroudy, Perez, Wang, Duan, Kot: NTU RGB+D 120, TPAMI 42(10), 2020",
        ask=f"ask the ROSE lab at {ntu60.PAGE} and take nturgbd_skeletons_s001_to_s017.zip and "
            "nturgbd_skeletons_s018_to_s032.zip",
    ),
    feeder="NTU120", numbers=ntu_clips.numbers, lacks=partial(ntu_clips.lacks, name="ntu120"),
)
