"""PKU-MMD, phase II. The counts are recalled: no public list of names confirms them."""

from sjepa.datasets.formats import pku
from sjepa.datasets.sources.pku1 import phase

SPEC = phase(2, 6_945, (5_332, 1_613),
             "Skeleton_v2.7z, Label_PKUMMD_v2.7z, cross_subject_v2.txt and cross_view_v2.txt",
             relabel=lambda options: pku.classes(2, options.pku2_labels))
