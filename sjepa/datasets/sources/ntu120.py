"""NTU RGB+D 120: NTU RGB+D 60 and as many actions again, of 106 people in 32 set-ups."""

from sjepa.datasets.sources import ntu60
from sjepa.datasets.specs import Split, by_subject

#: Cross-subject training performers, NTU60's and 33 more.
TRAIN = ntu60.TRAIN + (
    45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86,
    89, 91, 92, 93, 94, 95, 97, 98, 100, 103)

SPEC = ntu60.edition(
    "ntu120", ("copied", "lineage"), {
        "xsub": Split(by_subject(TRAIN), (63_026, 50_919)),
        "xset": Split(lambda store: store.setups % 2 == 0, (54_468, 59_477))}, 113_945,
    "Liu, Shahroudy, Perez, Wang, Duan, Kot: NTU RGB+D 120, TPAMI 42(10), 2020",
    "nturgbd_skeletons_s001_to_s017.zip and nturgbd_skeletons_s018_to_s032.zip")
