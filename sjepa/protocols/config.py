"""Every setting of the evaluation protocols by name, with its source and reason."""

from dataclasses import dataclass
from pathlib import Path

from sjepa.config import COMPILE, DEVICES, PRECISIONS, RUNS, check_rates, check_split, setting
from sjepa.errors import SjepaError


def percent(share: float) -> str:
    """A share of labels as metrics and folders name it: 0.01 is `1pct`."""
    return f"{100 * share:g}pct"


@dataclass(frozen=True)
class EvaluateConfig:
    """What every protocol needs: the encoder, the data, the place of the result."""

    run: str = setting("", "ours", "folder of a pretraining; untrained methods take its shape only")
    method: str = setting("sjepa", "ours", "sjepa: of run; random: untrained; classical: none",
                          choices=("sjepa", "random", "classical"))
    dataset: str = setting("synthetic", "ours", "a store in $SJEPA_DATA")
    split: str = setting("synthetic/xsub", "ours", "the protocol's training and test clips")
    test_crop: float = setting(0.95, "lineage", "MAMP's; the paper's readers say 0.9", "(0, 1]")
    seed: int = setting(0, "ours", "of everything that the evaluation draws", "[0, 4294967295]")
    device: str = setting("auto", "ours", "auto, cpu, cuda", choices=DEVICES)
    precision: str = setting("fp32", "ours", "of the frozen encoder", choices=PRECISIONS)
    out: str = setting("", "ours", "folder of the result, which it names; empty: one inside run")

    def check(self) -> None:
        """Refuse settings that contradict each other, before anything is read or made."""
        check_split(self.dataset, self.split)

    @property
    def folder(self) -> Path:
        """Where result, predictions and checkpoints go: `out`, or `RUN/PROTOCOL-SPLIT-METHOD`.

        Behind the protocol stands the share of labels, if not all are taken.
        """
        protocol = next(name for name, each in CONFIGS.items() if each is type(self))
        few = [percent(self.share)] if getattr(self, "share", 1) < 1 else []
        home = Path(self.run) if self.run else RUNS / self.method
        name = "-".join((protocol, *few, *self.split.split("/"), self.method))
        return Path(self.out) if self.out else home / name


@dataclass(frozen=True)
class LinearConfig(EvaluateConfig):
    """Linear probe on the frozen target encoder (lineage: MAMP's, after MAE's)."""

    epochs: int = setting(100, "lineage", "passes over the training features", "[1, inf)")
    batch_size: int = setting(256, "lineage", "features a step", "[1, inf)")
    lr: float = setting(0.1, "lineage", "peak learning rate of SGD, cosine to 0", "(0, inf)")
    passes: int = setting(0, "ours", "augmented passes, used in turn; 0: one an epoch", "[0, inf)")
    base_rotation: float = setting(0.3, "lineage", "rad, in the training passes", "[0, inf)")
    by_joint: bool = setting(False, "ours", "also with the joints side by side, not averaged")
    share: float = setting(1.0, "ours", "of each class, the clips that keep a label", "(0, 1]")
    subsets: int = setting(5, "ours", "labelled subsets, of seeds seed, seed + 1, …, where share "
                           "is below 1", "[1, inf)")


@dataclass(frozen=True)
class KnnConfig(EvaluateConfig):
    """k nearest neighbours by cosine similarity on the frozen target encoder."""

    ks: tuple[int, ...] = setting((1, 5, 20), "ours", "all reported, none chosen", "[1, inf)")

    def check(self) -> None:
        """Refuse an empty list of K, too."""
        super().check()
        if not self.ks:
            raise SjepaError("parameter ks = []: expected at least one K")


@dataclass(frozen=True)
class RetrievalConfig(KnnConfig):
    """Recall: is a training clip of the right class among the K most similar ones?"""

    ks: tuple[int, ...] = setting((1, 5, 10), "ours", "the literature's, all reported", "[1, inf)")


@dataclass(frozen=True)
class FinetuneConfig(EvaluateConfig):
    """Fine-tuning of the whole target encoder under a new head (lineage: MAMP's recipe)."""

    method: str = setting("sjepa", "ours", "sjepa: the encoder of run; scratch: random weights",
                          choices=("sjepa", "scratch"))
    precision: str = setting("fp32", "lineage", "not mixed in its scripts", choices=PRECISIONS)
    epochs: int = setting(100, "lineage", "passes over the labelled clips", "[1, inf)")
    batch_size: int = setting(48, "lineage", "clips a step; there 24 on each of 2 GPUs", "[1, inf)")
    lr: float = setting(3e-4, "lineage", "peak; its scripts override its files' 5e-4", "(0, inf)")
    lr_end: float = setting(1e-5, "lineage", "learning rate at the end of the cosine", "[0, inf)")
    warmup_epochs: float = setting(5, "lineage", "linear warm-up from 0", "[0, inf)")
    weight_decay: float = setting(0.05, "lineage", "not on biases and norms", "[0, inf)")
    layer_decay: float = setting(0.8, "lineage", "a block's rate as a share of the next's; "
                                 "1 from scratch; one reader says 0.75", "(0, 1]")
    drop_path: float = setting(0.3, "lineage", "of the last block, linear from 0", "[0, 1)")
    dropout: float = setting(0.3, "lineage", "of the tokens that enter the head", "[0, 1)")
    hidden: int = setting(2048, "lineage", "width of the head's hidden layer", "[1, inf)")
    label_smoothing: float = setting(0.1, "lineage", "share spread over all classes", "[0, 1)")
    base_rotation: float = setting(0.3, "lineage", "rad, in training", "[0, inf)")
    compile: str = setting(
        "auto", "ours", "the encoder; auto: on a GPU, in long runs", choices=COMPILE)
    test_every: int = setting(1, "lineage", "epochs between readings of the test clips", "[1, inf)")
    checkpoint_every: int = setting(5, "ours", "epochs between checkpoints", "[1, inf)")

    def check(self) -> None:
        """Refuse rates that contradict each other, too."""
        super().check()
        check_rates(self, FinetuneConfig.warmup_epochs)


@dataclass(frozen=True)
class SemiConfig(FinetuneConfig):
    """Semi-supervised: fine-tuning with the labels of a small share of the training clips."""

    share: float = setting(0.01, "readers", "labels a class; the paper: 1 % and 10 %", "(0, 1]")
    subsets: int = setting(5, "lineage", "labelled subsets, of seeds seed, seed + 1, …", "[1, inf)")


@dataclass(frozen=True)
class TransferConfig(FinetuneConfig):
    """Transfer: an encoder pretrained on one data set, fine-tuned and probed on another."""

    method: str = setting("sjepa", "ours", "sjepa alone: an untrained encoder has no origin",
                          choices=("sjepa",))
    probe_passes: int = setting(0, "ours", "of the linear probe, as `passes` of linear", "[0, inf)")


@dataclass(frozen=True)
class FuseConfig:
    """Late fusion of the class scores of evaluations whose encoders read different streams."""

    runs: tuple[str, ...] = setting((), "ours", "folders of evaluations of the same test clips")
    metric: str = setting("top1", "ours", "whose scores: RUN/scores/METRIC.npz of each")
    weights: tuple[float, ...] = setting((), "ours", "one a run; empty: equal ones", "[0, inf)")
    out: str = setting("", "ours", "folder of the result; empty: one beside the first of runs")

    def check(self) -> None:
        """Refuse fewer than two runs, and other weights than one for each."""
        if len(self.runs) < 2:
            raise SjepaError(f"parameter runs = {list(self.runs)}: expected two folders of "
                             "evaluations or more")
        if self.weights and (len(self.weights) != len(self.runs) or not sum(self.weights)):
            raise SjepaError(f"parameter weights = {list(self.weights)}: expected one a run "
                             f"({len(self.runs)}), and not all 0")

    @property
    def folder(self) -> Path:
        """Where the result goes: `out`, or a folder beside the first of `runs`."""
        first = Path(self.runs[0])
        return Path(self.out) if self.out else first.with_name(f"fuse-{first.name}")


CONFIGS = {
    "linear": LinearConfig, "knn": KnnConfig, "retrieval": RetrievalConfig,
    "finetune": FinetuneConfig, "semi": SemiConfig, "transfer": TransferConfig, "fuse": FuseConfig,
}
