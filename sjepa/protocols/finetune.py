"""Fine-tuning: the whole encoder learns on under a new head, with labels.

Lineage: MAMP's recipe, after MAE's, with a learning rate a layer after BEiT (Bao et al., 2022).
What an epoch draws follows from seed and epoch, and a checkpoint amid one has the states of its
generators: a run that was stopped goes on to the bit. A compiled encoder draws stochastic depth
from the same seed in another order.
"""

import copy
import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from sjepa import checkpoint
from sjepa import device as devices
from sjepa.encoder import init_linear
from sjepa.errors import SjepaError
from sjepa.files import alone, save_atomically
from sjepa.pretrain import learning_rate
from sjepa.protocols.config import FinetuneConfig, LinearConfig
from sjepa.protocols.context import Context, Result, over_subsets, own_draws, reading
from sjepa.protocols.encoders import untrained_like
from sjepa.protocols.features import encode_bodies, network_input
from sjepa.protocols.linear import probe

#: What a checkpoint holds besides settings and origin: states, and plain values.
LEARNED = ("model", "optimizer", "scaler")
KNOWN = ("epoch", "seconds", "peak", "history", "scores", "best", "draws")


class ActionHead(nn.Module):
    """Dropout of features, mean over segments and bodies, two linear layers, BatchNorm and ReLU.

    Joints are not averaged: the first layer sees `joints * dim` features.
    """

    def __init__(self, dim: int, joints: int, classes: int, hidden: int = 2048,
                 dropout: float = 0.3):
        super().__init__()
        self.joints = joints
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(
            nn.Linear(joints * dim, hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
            nn.Linear(hidden, classes))
        self.apply(init_linear)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Class scores `[B, classes]`, before softmax, of tokens `[B, M, N, D]`."""
        tokens = self.dropout(tokens).unflatten(2, (-1, self.joints))  # [B, M, S, V, D]
        return self.layers(tokens.mean(2).flatten(2).mean(1))


class Classifier(nn.Module):
    """A copy of an encoder, pretrained or not, with a new `ActionHead`; all weights are trained.

    `drop_path` is the stochastic depth of the last block.
    """

    def __init__(self, encoder: nn.Module, classes: int, hidden: int = 2048, dropout: float = 0.3,
                 drop_path: float = 0.3):
        super().__init__()
        self.encoder = copy.deepcopy(encoder).requires_grad_(True)
        self.encoder.set_drop_path(drop_path)
        self.padded = False  # as a compiled encoder's rows are (`encode_bodies`)
        self.head = ActionHead(encoder.dim, encoder.joints, classes, hidden, dropout)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Class scores `[B, classes]`, before softmax, of clips `[B, M, T, V, 3]`."""
        return self.head(encode_bodies(self.encoder, clips, padded=self.padded))


def layer_decay_groups(model: Classifier, decay: float, weight_decay: float) -> list[dict]:
    """AdamW's parameter groups: `params`, `weight_decay`, and `lr_scale`, smaller for early layers.

    A layer's scale is `decay` times that of the layer after it (`parameter_layers`); the head
    belongs to the last, whose scale is 1. Weights decay that have more than one axis.

    Raises:
        SjepaError: the encoder leaves a parameter out, or names one twice.
    """
    *layers, last = model.encoder.parameter_layers()
    layers += [[*last, *model.head.parameters()]]
    named = [id(parameter) for layer in layers for parameter in layer]
    if sorted(named) != sorted(map(id, model.parameters())):
        raise SjepaError(f"{type(model.encoder).__name__}.parameter_layers names {len(named)} "
                         f"parameters of {len(list(model.parameters()))}: it must name each once")
    groups = []
    for depth, layer in enumerate(layers):
        for bare in dict.fromkeys(p.ndim <= 1 for p in layer):  # biases and norms; all others
            groups.append({"params": [p for p in layer if (p.ndim <= 1) == bare],
                           "lr_scale": decay ** (len(layers) - 1 - depth),
                           "weight_decay": 0.0 if bare else weight_decay})
    return groups


def weights_hash(encoder: torch.nn.Module) -> str:
    """Hash of an encoder's weights: which pretraining a checkpoint started from."""
    weights = (value.contiguous().cpu().numpy() for value in encoder.state_dict().values())
    return hashlib.sha256(b"".join(value.tobytes() for value in weights)).hexdigest()


class FineTuning:
    """One run from a copy of `encoder`, which learns the labels of the clips `train` `[N]`.

    Raises:
        SjepaError: fewer than two training clips, on which BatchNorm cannot train.
    """

    def __init__(self, context: Context, config: FinetuneConfig, encoder: torch.nn.Module,
                 train: np.ndarray):
        self.context, self.device = context, context.device
        precision = devices.pick_precision(config.precision, self.device)
        self.config = replace(config, precision=precision)
        self.train = torch.from_numpy(train)
        self.batch = min(config.batch_size, len(train))
        if self.batch < 2:
            raise SjepaError(f"fine-tuning takes {self.batch} clips a step here, and BatchNorm "
                             "needs two: set batch_size or share higher")
        self.origin = {"encoder": weights_hash(encoder), "store": context.store.meta["sha256"]}
        with own_draws(config.seed):
            self.model = Classifier(encoder, context.classes, config.hidden, config.dropout,
                                    config.drop_path).to(self.device)
        # The encoder alone: its rows can be padded, and BatchNorm in the head would notice.
        steps = len(train) // self.batch * config.epochs
        self.compiled = self.model.padded = devices.compile_modules(
            [self.model.encoder], config.compile, self.device, steps)
        decay = 1.0 if config.method == "scratch" else config.layer_decay
        self.optimizer = torch.optim.AdamW(
            layer_decay_groups(self.model, decay, config.weight_decay),
            lr=config.lr, fused=self.device.type == "cuda")
        self.scaler = torch.amp.GradScaler("cuda", enabled=context.dtype == torch.float16)
        self.epoch, self.seconds, self.earlier, self.peak = 0, 0.0, 0.0, 0
        self.history: list[dict] = []
        self.scores = self.best = None
        self.losses: list[torch.Tensor] = []  # of the steps of this epoch
        self.draws: list[torch.Tensor] = []  # states of its generators, where it was left

    def class_scores(self, clips: torch.Tensor) -> torch.Tensor:
        """Scores `[B, classes]` in float32, before softmax, of clips `[B, M, T, V, 3]`."""
        if self.compiled:
            torch.compiler.cudagraph_mark_step_begin()
        with devices.autocast(self.device, self.context.dtype):
            return self.model(clips).float()

    def training_step(self, index: torch.Tensor, epoch: float, generator) -> torch.Tensor:
        """One optimiser step on the clips `index` at a fractional epoch; returns the loss."""
        rate = learning_rate(epoch, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["lr_scale"]
        index = index.to(self.device)
        clips = network_input(self.context.data, index, self.model.encoder.frames,
                              rotation=self.config.base_rotation, stream=self.context.stream,
                              generator=generator)
        loss = F.cross_entropy(self.class_scores(clips), self.context.data.labels[index],
                               label_smoothing=self.config.label_smoothing)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def run_epoch(self, stopped: Callable[[], object] = lambda: False) -> dict | None:
        """The rest of a pass over the training clips, in an order of its own; its readings.

        None if it was `stopped`, which is asked before each step.
        """
        begun = time.perf_counter()
        seed = 3 * (self.config.seed * 100_003 + self.epoch)  # three streams of draws an epoch
        generator = torch.Generator(self.device).manual_seed(seed + 1)  # crops and rotations
        shuffle = torch.Generator().manual_seed(seed + 2)
        order = torch.randperm(len(self.train), generator=shuffle)
        batches = self.train[order].split(self.batch)[: len(order) // self.batch]  # full ones
        self.model.train()
        with own_draws(seed, self.device) as drawn:  # dropout and stochastic depth
            drawn = [generator, *drawn]
            if len(drawn) == len(self.draws):  # on another device an epoch goes on with new draws
                for each, state in zip(drawn, self.draws, strict=True):
                    each.set_state(state)
            for step in range(len(self.losses), len(batches)):
                if stopped():
                    self.draws = [each.get_state() for each in drawn]
                    self.seconds += time.perf_counter() - begun
                    return None
                self.losses.append(self.training_step(
                    batches[step], self.epoch + step / len(batches), generator))
        losses, self.losses, self.draws = torch.stack(self.losses).cpu(), [], []
        self.epoch += 1
        checkpoint.check_losses(losses, batches, self.context.store.names, self.epoch)
        row = {"epoch": self.epoch, "loss": losses.mean().item()}
        if self.epoch % self.config.test_every == 0 or self.epoch == self.config.epochs:
            row["accuracy"] = self.read_test()
        self.seconds += time.perf_counter() - begun
        self.history.append(row)
        return row

    @torch.no_grad()
    def read_test(self) -> float:
        """Accuracy in percent on the test clips; their scores and the best classes are kept."""
        self.model.eval()
        parts = []
        for part in torch.from_numpy(self.context.test).to(self.device).split(128):
            clips = network_input(self.context.data, part, self.model.encoder.frames,
                                  crop=self.config.test_crop, stream=self.context.stream)
            parts.append(self.class_scores(clips).cpu())
        self.scores = torch.cat(parts)
        predicted = self.scores.argmax(1)
        accuracy = (predicted == self.context.test_labels).float().mean().item() * 100
        if accuracy > max((r.get("accuracy", -1.0) for r in self.history), default=-1.0):
            self.best = predicted
        return accuracy

    def state(self) -> dict:
        """All that is needed to go on to the bit where this run stands."""
        self.peak = max(self.peak, devices.peak_bytes(self.device) or 0)
        return {"config": asdict(self.config), "origin": self.origin, "train": self.train,
                "losses": torch.stack(self.losses) if self.losses else torch.empty(0),
                **{name: getattr(self, name).state_dict() for name in LEARNED},
                **{name: getattr(self, name) for name in KNOWN}}

    def load_state(self, state: dict, out: Path) -> None:
        """Continue from `state`, the checkpoint in `out`, or say that it is of another run.

        Raises:
            SjepaError: it has other settings or training clips, or started from other weights.
        """
        checkpoint.same_settings(state["config"], self.config, out, ("subsets", "probe_passes"))
        if state["origin"] != self.origin or not torch.equal(state["train"].cpu(), self.train):
            raise SjepaError(f"{out} holds a fine-tuning of another encoder or on other clips: "
                             "choose another out, or delete the folder")
        for name in LEARNED:
            getattr(self, name).load_state_dict(state[name])
        for name in KNOWN:
            setattr(self, name, state.get(name, []))
        self.losses = list(state.get("losses", torch.empty(0)).to(self.device))
        self.earlier = self.seconds


def run_to_end(run: FineTuning, out: Path) -> FineTuning:
    """Run to the last epoch, from where the checkpoint in `out` stands if there is one.

    Raises:
        SjepaError: another process is at work there, the folder cannot be written, or holds a
            run of other settings, clips or weights.
    """
    checkpoint.make_ready(out, run.model)
    with alone(out / "last.pt", wait=False), checkpoint.signals_held() as caught, \
            devices.many_shapes(run.compiled):
        if state := checkpoint.kept(out):
            run.load_state(state, out)
        with tqdm(initial=run.epoch, total=run.config.epochs, desc="fine-tune", unit="epoch",
                  mininterval=5) as bar:
            while run.epoch < run.config.epochs:
                row = devices.or_what_fits(
                    lambda: run.run_epoch(lambda: caught),
                    f"a step of {run.batch} clips", run.batch,
                    lambda rows: run.training_step(run.train[: max(rows, 2)], run.epoch,
                                                   torch.Generator(run.device)),
                    lambda rows: f"batch_size = {max(rows, 2)} fits, which needs a lower lr too",
                    run.device)
                if (row is None or run.epoch % run.config.checkpoint_every == 0
                        or run.epoch == run.config.epochs):
                    checkpoint.check_weights(run.model, out)
                    checkpoint.keep(run.state(), out)
                if row is None:
                    break
                bar.set_postfix(loss=row["loss"], refresh=False)
                bar.update()
    return run


def checkpoints(config: FinetuneConfig) -> Path:
    """The folder of the checkpoints of one seed."""
    return config.folder / f"seed-{config.seed}"


def tune(context: Context, config: FinetuneConfig, train: np.ndarray) -> Result:
    """Fine-tune on the clips `train` with the seed of `config`; checkpoints go to its folder.

    `top1` is read after the last epoch; `top1-best-epoch` is chosen on the test clips.
    """
    encoder = context.encoder
    if config.method == "scratch":
        encoder = untrained_like(encoder, config.seed)
    run = run_to_end(FineTuning(context, config, encoder, train), checkpoints(config))
    readings = {"top1": reading(run.scores.argmax(1), context.test_labels, run.scores),
                "top1-best-epoch": reading(run.best, context.test_labels)}
    return Result(readings, f"fine-tuned for {config.epochs} epochs", run.earlier, run.peak)


def run_finetune(context: Context) -> Result:
    """Fine-tuning with the labels of all training clips."""
    return tune(context, context.config, context.train)


def run_semi(context: Context) -> Result:
    """Fine-tuning with few labels, once for each labelled subset; each can be resumed."""
    def tuned(train: np.ndarray, seed: int) -> Result:
        own = replace(context.config, seed=seed)
        result = tune(context, own, train)
        names = "".join(f"{name}\n" for name in context.store.names[train])  # for others to use
        save_atomically(lambda path: path.write_text(names, encoding="utf-8"),
                        checkpoints(own) / "labelled.txt")
        return result

    return over_subsets(context, tuned)


def run_transfer(context: Context) -> Result:
    """Fine-tuning, and the linear probe, on another data set than that of the pretraining.

    Raises:
        SjepaError: the encoder was pretrained on the same data set.
    """
    config, origin = context.config, context.pretraining["split"]
    if origin.split("/")[0] == config.split.split("/")[0]:
        raise SjepaError(f"{config.run} was pretrained on {origin}, the data set of "
                         f"{config.split}: that is fine-tuning, use the protocol finetune")
    result = tune(context, config, context.train)
    linear = LinearConfig(seed=config.seed, base_rotation=config.base_rotation,
                          passes=config.probe_passes)
    probed = probe(context, linear, context.train)
    result.readings |= {f"linear-{metric}": each for metric, each in probed.items()}
    return result
