"""PKU-MMD, phase II. The counts are recalled: no public list of names confirms them."""

from functools import partial

from sjepa.datasets.formats import pku
from sjepa.datasets.specs import DatasetSpec, Origin, Split

PAGE = "https://www.icst.pku.edu.cn/struct/Projects/PKUMMD.html"

SPEC = DatasetSpec(
    name="pku2", title="PKU-MMD II", classes=pku.classes(2),
    relabel=lambda options: pku.classes(2, options.pku2_labels),
    files=partial(pku.files, phase=2), read=pku.read,
    needs="the owners' skeleton, label and split files (.txt)",
    splits={"xsub": Split(None, (5_332, 1_613)), "xview": Split(None)},
    clips=6_945,
    origin=Origin(
        "PKU-MMD, phase II", PAGE, "permission by e-mail",
        "for those to whom the owners give permission",
        "Liu, Hu, Li, Song, Liu: PKU-MMD, arXiv:1703.07475, 2017",
        # Names of the archives: MAMP's read-me.
        ask=f"write to the owners as {PAGE} says, and take Skeleton_v2.7z, "
            "Label_PKUMMD_v2.7z, cross_subject_v2.txt and cross_view_v2.txt of phase 2",
    ),
    feeder="PKU2",
)
