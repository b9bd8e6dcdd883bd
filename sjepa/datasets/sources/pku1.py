"""PKU-MMD, phase I. The counts are recalled: no public list of names confirms them."""

from functools import partial

from sjepa.datasets.formats import pku
from sjepa.datasets.specs import DatasetSpec, Origin, Split

PAGE = "https://www.icst.pku.edu.cn/struct/Projects/PKUMMD.html"


def phase(number: int, clips: int, counts: tuple[int, int], archives: str, **more) -> DatasetSpec:
    """A phase of PKU-MMD; names of the `archives` are those of MAMP's read-me."""
    return DatasetSpec(
        name=f"pku{number}", title=f"PKU-MMD {'I' * number}", classes=pku.classes(number),
        files=partial(pku.files, phase=number), read=pku.read,
        needs="the owners' skeleton, label and split files (.txt)",
        splits={"xsub": Split(None, counts), "xview": Split(None)}, clips=clips, **more,
        origin=Origin(
            f"PKU-MMD, phase {'I' * number}", PAGE, "permission by e-mail",
            "for those to whom the owners give permission",
            "Liu, Hu, Li, Song, Liu: PKU-MMD, arXiv:1703.07475, 2017",
            ask=f"write to the owners as {PAGE} says, and take {archives} of phase {number}"))


SPEC = phase(1, 21_545, (18_841, 2_704),
             "Skeleton.7z, Label_PKUMMD.7z, cross-subject.txt and cross-view.txt")
