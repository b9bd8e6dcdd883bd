"""The rows of the evidence: which target learns more, and what each part is worth."""

from __future__ import annotations

from sjepa.study.row import OPEN_FEW, OPEN_TUNE, Row, evaluate_row, prepare_row, pretrain_row

#: What each part of the method is worth: name to the settings that take it away or change it.
ABLATIONS: dict[str, dict] = {
    "input-masked": {"mask_at": "input"},
    "no-ema": {"ema_start": 0.0, "ema_end": 0.0},
    "no-centring": {"center_beta": 1.0},
    "no-sharpening": {"tau_t": 0.1},
    "mse": {"loss": "mse"},
    "no-views": {"view_rotation": 0.0, "view_translation": 0.0, "view_flip": 0.0},
    "flip": {"view_flip": 0.5},
    "random-masks": {"mask_tau": 1e6},
    "mask-50": {"mask_ratio": 0.5},
    "mask-75": {"mask_ratio": 0.75},
    "mask-95": {"mask_ratio": 0.95},
    "predictor-1": {"predictor_depth": 1},
    "predictor-4": {"predictor_depth": 4},
    "ema-slow": {"ema_start": 0.9999},
    "ema-fast": {"ema_start": 0.9},
    "tau-03": {"tau_t": 0.03},
    "rotation-03": {"view_rotation": 0.3},
    "translation-half": {"view_translation": 0.5},
    "no-base-rotation": {"base_rotation": 0.0},
    "clip-grad": {"clip_grad": 3.0},
    "fp32": {"precision": "fp32"},
    "batch-64": {"batch_size": 64, "epochs": 25, "warmup_epochs": 1},
}
#: Each target without the motion capture, which is two thirds of the pool; as many steps.
KINECT: dict[str, dict] = {
    "kinect": {},
    "kinect-motion": {"target": "motion"},
    "kinect-coordinates": {"target": "coordinates"},
}
#: What twice the steps change, and what the paper's network and tokens do.
LARGER: dict[str, dict] = {
    "long": {"epochs": 200, "warmup_epochs": 10},
    "long-motion": {"epochs": 200, "warmup_epochs": 10, "target": "motion"},
    "long-coordinates": {"epochs": 200, "warmup_epochs": 10, "target": "coordinates"},
    "full": {"dim": 256, "depth": 8, "heads": 8, "predictor_depth": 5, "frames": 120, "segment": 4},
}
ALONE = "nwucla-alone"
TARGETS = ("latent", "motion", "coordinates")
SEEDS = (0, 1, 2, 3, 4)
#: Of fine-tuning, and of runs on less than the whole pool; all else but the targets has the first.
FEWER = SEEDS[:3]
#: A probe of 189 to 1,020 clips takes the lineage's batch for its smallest set, PKU-MMD II: with
#: 256 clips a step it would end after as few as 100 steps. The rate stays that of the large sets.
_PROBE = {"linear": {"passes": 5, "batch_size": 32, "by_joint": True}, "knn": {"ks": [1, 5]}}
_JUDGED = ("kindergator/xsub", "nwucla/xview", "hdm05/xsub")
#: Every subject is tested once. The pool has half of them, unlabelled: records count their clips.
FOLDS = tuple(f"kindergator/fold{k}" for k in range(1, 6))


def run_name(what: str, seed: int = 0) -> str:
    """The folder of a pretraining: a target, or what was changed of the latents' recipe."""
    return f"open-{what}-seed{seed}" if what in TARGETS or seed else f"open-{what}"


def evidence_rows() -> list[Row]:
    """Pretraining on the open pool and probes on three sets; the ablations, on the first two."""
    made = [prepare_row(name, "evidence") for name in ("pool", "kindergator", "nwucla", "hdm05")]
    for target in TARGETS:
        for seed in SEEDS:
            run = run_name(target, seed)
            made += [pretrain_row("pool/all", run, "evidence", preset="open", target=target,
                                  seed=seed), *_judge(run, _JUDGED)]
    for name, changed in ABLATIONS.items():
        run = run_name(name)
        made += [pretrain_row("pool/all", run, "evidence", preset="open", variant=name, **changed),
                 *_judge(run, _JUDGED[:2])]
    for name, changed in LARGER.items():
        run = run_name(name)
        made += [pretrain_row("pool/all", run, "evidence", preset="open", variant=name, **changed),
                 *_judge(run, _JUDGED)]
    for seed in FEWER:
        for name, changed in KINECT.items():
            run = run_name(name, seed)
            made += [pretrain_row("pool/kinect", run, "evidence", preset="open", variant=name,
                                  epochs=300, warmup_epochs=15, seed=seed, **changed),
                     *_judge(run, _JUDGED)]
        run = run_name(ALONE, seed)
        made += [pretrain_row("nwucla/xview", run, "evidence", preset="open", variant="alone",
                              epochs=600, warmup_epochs=30, seed=seed),
                 *_judge(run, ("nwucla/xview",))]
    for seed in SEEDS:
        made += _judge(run_name("latent", seed), _JUDGED, "random", seed=seed)
    made += _judge(run_name("latent"), _JUDGED, "classical")
    for split in _JUDGED:
        for seed in FEWER:
            made += [_tuned(run_name(target, seed), split, "sjepa", seed) for target in TARGETS]
            made.append(_tuned(run_name("latent", seed), split, "scratch", seed))
        made += [_few_labels(run_name(target), split, "sjepa") for target in TARGETS]
        made.append(_few_labels(run_name("latent"), split, "scratch"))
    for fold in FOLDS:
        made += [_fold(run_name(target), fold) for target in TARGETS]
        made += [_fold(run_name("latent"), fold, method) for method in ("random", "classical")]
    return made


def _judge(run: str, splits, method: str = "sjepa", **params) -> list[Row]:
    """The frozen protocols of an encoder on some sets."""
    return [evaluate_row(step, run, split, "evidence", method, f"{step}-{split.split('/')[0]}",
                         **_PROBE[step], **params)
            for split in splits for step in ("linear", "knn")]


def _fold(run: str, fold: str, method: str = "sjepa") -> Row:
    return evaluate_row("linear", run, fold, "evidence", method,
                        f"linear-{fold.replace('/', '-')}", **_PROBE["linear"])


def _tuned(run: str, split: str, method: str, seed: int) -> Row:
    """Fine-tuning on a set with all of its labels."""
    return evaluate_row("finetune", run, split, "evidence", method,
                        f"finetune-{split.split('/')[0]}", **OPEN_TUNE, seed=seed)


def _few_labels(run: str, split: str, method: str) -> Row:
    """Fine-tuning with a tenth of them, drawn five times."""
    return evaluate_row("semi", run, split, "evidence", method,
                        f"semi-10pct-{split.split('/')[0]}", share=0.1, **OPEN_FEW)
