"""NTU RGB+D 60: 60 actions of 40 people before three Kinect v2."""

from functools import partial
from pathlib import Path

from sjepa.datasets.build import PrepareConfig
from sjepa.datasets.formats import ntu_clips
from sjepa.datasets.specs import DatasetSpec, Origin, Split, by_subject, by_view

#: Cross-subject training performers (owners' list).
TRAIN = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
PAGE = "https://rose1.ntu.edu.sg/dataset/actionRecognition/"


def read(path: Path, options: PrepareConfig, copied: tuple[str, ...]) -> list:
    """One file's clip; under the choices `copied`, one person's body is the second one too."""
    return ntu_clips.read(path, copied=options.second_body in copied)


def edition(name: str, copied: tuple[str, ...], splits: dict[str, Split], clips: int, cite: str,
            archives: str) -> DatasetSpec:
    """NTU RGB+D 60 or 120; names of the `archives` are those of CTR-GCN's read-me."""
    return DatasetSpec(
        name=name, title=name.upper(), classes=ntu_clips.classes(name),
        files=partial(ntu_clips.files, name=name), read=partial(read, copied=copied),
        needs="the owners' .skeleton files", splits=splits, clips=clips,
        numbers=ntu_clips.numbers, lacks=partial(ntu_clips.lacks, name=name),
        origin=Origin(
            f"NTU RGB+D {name.removeprefix('ntu')}", PAGE, "research only, signed agreement",
            "for research only, by a signed agreement", cite,
            ask=f"ask the ROSE lab at {PAGE} and take {archives}"))


SPEC = edition(
    "ntu60", ("copied",), {"xsub": Split(by_subject(TRAIN), (40_091, 16_487)),
                           "xview": Split(by_view((2, 3)), (37_646, 18_932))}, 56_578,
    "Shahroudy, Liu, Ng, Wang: NTU RGB+D, CVPR 2016", "nturgbd_skeletons_s001_to_s017.zip")
