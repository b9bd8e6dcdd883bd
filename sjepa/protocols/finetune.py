"""Fine-tuning: the whole encoder learns on under a new head, with labels.

Lineage: MAMP's recipe, after MAE's. AdamW with a learning rate a layer, stochastic depth, dropout,
label smoothing, linear warm-up and cosine, the augmentation of pretraining.

Everything that an epoch draws follows from seed and epoch, so a checkpoint needs no state of a
random generator, and a run that was killed goes on to the bit where its checkpoint stands. A
compiled encoder draws stochastic depth from the same seed, but in an order of its own.
"""

from __future__ import annotations

import hashlib
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from sjepa.checkpoint import same_settings, save_atomically
from sjepa.config import as_dict
from sjepa.device import autocast, compile_modules, peak_bytes
from sjepa.encoder import Encoder
from sjepa.errors import SjepaError
from sjepa.pretrain import learning_rate
from sjepa.protocols.classifier import Classifier
from sjepa.protocols.config import FinetuneConfig
from sjepa.protocols.context import Bench
from sjepa.protocols.features import network_input
from sjepa.protocols.layer_decay import layer_decay_groups


def weights_hash(encoder: Encoder) -> str:
    """Hash of an encoder's weights: which pretraining a checkpoint started from."""
    digest = hashlib.sha256()
    for value in encoder.state_dict().values():
        digest.update(value.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()


class FineTuning:
    """One run: classifier, optimiser, counters, and what the test clips said on the way.

    Args:
        bench: the clips, the device, the classes.
        config: the settings.
        encoder: where the encoder starts; it is copied.
        train: `[N]` indices of the labelled clips.

    Raises:
        SjepaError: fewer than two training clips, on which BatchNorm cannot train.
    """

    def __init__(self, bench: Bench, config: FinetuneConfig, encoder: Encoder, train: np.ndarray):
        self.bench, self.config, self.device = bench, config, bench.device
        self.train = torch.from_numpy(train)
        self.batch = min(config.batch_size, len(train))
        if self.batch < 2:
            raise SjepaError(f"fine-tuning takes {self.batch} clips a step here, and BatchNorm "
                             "needs two: set batch_size or share higher")
        self.steps_per_epoch = len(train) // self.batch  # the last, smaller batch is dropped
        self.origin = {"encoder": weights_hash(encoder), "store": bench.store.meta["sha256"]}
        torch.manual_seed(config.seed)
        self.model = Classifier(encoder, bench.classes, config.hidden, config.dropout,
                                config.drop_path).to(self.device)
        # The encoder alone: its rows can be padded, and BatchNorm in the head would notice.
        self.compiled = compile_modules([self.model.encoder], config.compile, self.device)
        self.model.padded = self.compiled
        decay = 1.0 if config.method == "scratch" else config.layer_decay
        self.optimizer = torch.optim.AdamW(
            layer_decay_groups(self.model, encoder.depth, decay, config.weight_decay),
            lr=config.lr, fused=self.device.type == "cuda",
        )
        self.scaler = torch.amp.GradScaler("cuda", enabled=bench.dtype == torch.float16)
        self.epoch, self.seconds, self.earlier, self.peak = 0, 0.0, 0.0, 0
        self.history: list[dict] = []
        self.scores = self.best = None

    def class_scores(self, clips: torch.Tensor) -> torch.Tensor:
        """Scores `[B, classes]` in float32, before softmax, of clips `[B, M, T, V, 3]`."""
        if self.compiled:
            torch.compiler.cudagraph_mark_step_begin()
        with autocast(self.device, self.bench.dtype):
            return self.model(clips).float()

    def training_step(self, index: torch.Tensor, epoch: float, generator) -> torch.Tensor:
        """One optimiser step on the clips `index` at a fractional epoch; returns the loss."""
        rate = learning_rate(epoch, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["lr_scale"]
        index = index.to(self.device)
        clips = network_input(self.bench.data, index, self.model.encoder.frames,
                              rotation=self.config.base_rotation, stream=self.bench.stream,
                              generator=generator)
        loss = F.cross_entropy(self.class_scores(clips), self.bench.data.labels[index],
                               label_smoothing=self.config.label_smoothing)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def run_epoch(self) -> dict:
        """One pass over the training clips in a fresh order; reads the test clips when due."""
        begun = time.perf_counter()
        seed = 3 * (self.config.seed * 100_003 + self.epoch)  # three streams of draws an epoch
        torch.manual_seed(seed)  # dropout and stochastic depth
        generator = torch.Generator(self.device).manual_seed(seed + 1)  # crops and rotations
        shuffle = torch.Generator().manual_seed(seed + 2)
        order = torch.randperm(len(self.train), generator=shuffle)
        self.model.train()
        losses = [
            self.training_step(part, self.epoch + step / self.steps_per_epoch, generator)
            for step, part in enumerate(
                self.train[order].split(self.batch)[: self.steps_per_epoch])
        ]
        self.epoch += 1
        row = {"epoch": self.epoch, "loss": torch.stack(losses).mean().item()}
        if not math.isfinite(row["loss"]):
            raise SjepaError(f"the loss is {row['loss']} in epoch {self.epoch}: "
                             "lower lr, or use precision fp32")
        if self.epoch % self.config.test_every == 0 or self.epoch == self.config.epochs:
            row["accuracy"] = self.read_test()
        self.seconds += time.perf_counter() - begun
        self.history.append(row)
        return row

    @torch.no_grad()
    def read_test(self) -> float:
        """Score the test clips; keeps the scores and, if they are the best so far, the classes.

        Returns:
            Top-1 accuracy in percent.
        """
        self.model.eval()
        parts = []
        for part in torch.from_numpy(self.bench.test).to(self.device).split(128):
            clips = network_input(self.bench.data, part, self.model.encoder.frames,
                                  crop=self.config.test_crop, stream=self.bench.stream)
            parts.append(self.class_scores(clips).cpu())
        self.scores = torch.cat(parts)
        predicted = self.scores.argmax(1)
        accuracy = (predicted == self.bench.wanted).float().mean().item() * 100
        if accuracy > max((r.get("accuracy", -1.0) for r in self.history), default=-1.0):
            self.best = predicted
        return accuracy

    def state(self) -> dict:
        """All that is needed to go on to the bit where this run stands."""
        return {
            "config": as_dict(self.config), "origin": self.origin, "train": self.train,
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(), "epoch": self.epoch, "seconds": self.seconds,
            "peak": max(self.peak, peak_bytes(self.device)), "history": self.history,
            "scores": self.scores, "best": self.best,
        }

    def load_state(self, state: dict, out: Path) -> None:
        """Continue from `state`, the checkpoint in `out`.

        Raises:
            SjepaError: it has other settings, other training clips, or started from other weights.
        """
        elsewhere = ("results", "run", "subsets", "probe_passes")
        same_settings(state["config"], self.config, out, elsewhere)
        if state["origin"] != self.origin or not torch.equal(state["train"].cpu(), self.train):
            raise SjepaError(f"{out} holds a fine-tuning of another encoder or on other clips: "
                             "choose another out, or delete the folder")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.epoch, self.history = state["epoch"], state["history"]
        self.seconds = self.earlier = state["seconds"]
        self.peak, self.scores, self.best = state["peak"], state["scores"], state["best"]


def fine_tune(run: FineTuning, out: Path) -> FineTuning:
    """Run to the last epoch, or go on where the checkpoint in `out` stands, or return at once.

    Returns:
        `run`, with the scores of the last epoch and the classes of the best one.
    """
    path, epochs = out / "last.pt", run.config.epochs
    if path.is_file():
        # On the CPU first: scores and counters belong there, weights are copied into place.
        run.load_state(torch.load(path, map_location="cpu", weights_only=True), out)
    bar = tqdm(initial=run.epoch, total=epochs, desc="fine-tune", unit="epoch", mininterval=5)
    while run.epoch < epochs:
        row = run.run_epoch()
        bar.set_postfix(loss=row["loss"], refresh=False)
        bar.update()
        if run.epoch % run.config.checkpoint_every == 0 or run.epoch == epochs:
            out.mkdir(parents=True, exist_ok=True)
            save_atomically(lambda p: torch.save(run.state(), p), path)
    bar.close()
    return run
