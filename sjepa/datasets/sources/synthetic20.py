"""The built-in set for transfer: other performances, seen with the 20 joints of Kinect v1."""

from sjepa import synthetic
from sjepa.datasets.sources.synthetic import built_in
from sjepa.datasets.specs import Split, by_subject

SPEC = built_in("synthetic20", "built-in, 20 joints", True,
                {"xsub": Split(by_subject(synthetic.TRAIN_SUBJECTS))})
