"""The quick reproduction: `python -m sjepa.reproduce quick`, minutes on two CPU cores.

The group `quick` of `experiments.yaml`: an encoder of the built-in data and its untrained twin by
every protocol. A run of the planned settings and of today's code stays, what else lies in its
folder goes to `runs/old`. `quick()` gives the runs that come with the package, until there are
newer ones here: a chapter opened alone need not train.
"""

import contextlib
import functools
import hashlib
import shutil
from pathlib import Path

import torch
from filelock import FileLock
from safetensors.torch import load_file

from sjepa.checkpoint import read_result
from sjepa.config import RUNS
from sjepa.datasets.prepare import prepare
from sjepa.errors import Parser, SjepaError
from sjepa.study import batch
from sjepa.study.experiments import Experiment, config_of, experiments
from sjepa.study.results import SHIPPED
from sjepa.study.tables import write_report

#: What the package keeps of the quick pretraining besides its result.
KEPT = ("target.safetensors", "history.csv")
#: Parts of the package that no number of a quick run comes from.
APART = ("study", "show", "datasets/sources", "datasets/formats")


@functools.cache
def code_behind(package: Path = Path(__file__).parents[1]) -> tuple[str, float]:
    """A hash of the code that quick runs come from, and when it was last changed."""
    files = [path for path in sorted(package.rglob("*.py"))
             if not path.relative_to(package).as_posix().startswith(APART)]
    code = b"\n".join(path.read_bytes() for path in files)
    return hashlib.sha256(code).hexdigest(), max(path.stat().st_mtime for path in files)


def current(row: Experiment) -> bool:
    """Whether a finished run has the experiment's settings and is of today's code."""
    folder, (code, changed) = RUNS / row.run, code_behind()
    if not batch.finished(row):
        return False
    if (folder / "code").is_file():
        return (folder / "code").read_text() == code
    # Other runners leave no mark: their runs are of this code if they are younger.
    return (folder / "result.json").stat().st_mtime > changed


def renew(row: Experiment) -> None:
    """Run an experiment; an old run moves away."""
    folder = RUNS / row.run
    if folder.is_dir():
        old = RUNS / "old" / row.run
        shutil.rmtree(old, ignore_errors=True)
        shutil.move(folder, old)
        print(f"{folder} was unfinished, or of other code or settings: now {old}", flush=True)
    batch.run(row)
    (folder / "code").write_text(code_behind()[0])


def quick_runs() -> list[Experiment]:
    """The experiments of the quick reproduction that leave a run."""
    return [row for row in experiments("quick").values() if row.run]


def quick(retrain: bool = False) -> Path:
    """The folder of the quick pretraining, which chapters load.

    The one made here by today's code; without such a one, that which comes with the package, or,
    if `retrain`, a new one, in minutes.
    """
    if retrain:
        return reproduce()
    here = all(current(row) for row in quick_runs())
    return (RUNS if here else SHIPPED) / "quick"


def reproduce() -> Path:
    """Run the quick experiments that are not up to date, and what reads them.

    Returns:
        The folder of the pretraining.

    Raises:
        SjepaError: something has to run, and the folder of runs cannot be written.
    """
    rows = experiments("quick")
    runs = quick_runs()
    if all(current(row) for row in runs):
        return RUNS / "quick"
    try:
        (RUNS / "old").mkdir(parents=True, exist_ok=True)
        lock = FileLock(RUNS / ".quick.lock").acquire()  # another process may be at it
    except OSError as error:
        raise SjepaError(f"quick runs have to be made, and {RUNS} cannot be written "
                         f"({error.strerror}): work in a copy that can") from error
    with lock, contextlib.chdir(RUNS.parent):  # parameters name folders as seen from there
        for row in rows.values():
            if row.step == "prepare":
                prepare(config_of(row.name))
        fresh: dict[str, Experiment] = {}
        for row in runs:
            if set(row.after) & set(fresh) or not current(row):
                fresh[row.name] = row
        if "quick-pretrain" in fresh:  # with all threads: what is left waits for it
            renew(fresh.pop("quick-pretrain"))
        # One thread each: their small networks gain little from a second.
        batch.side_by_side(fresh.values(), torch.get_num_threads(), renew)
        write_report(config_of("quick-report"))
    return RUNS / "quick"


def ship() -> None:
    """Put what chapters read of the quick runs into the package: results, encoder, history."""
    for row in quick_runs():
        folder = SHIPPED / row.run
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("result.json", *(KEPT if row.run == "quick" else ())):
            shutil.copy(RUNS / row.run / name, folder / name)


def beside_shipped() -> str:
    """How the quick runs differ from those of the package, in words.

    Another processor adds in another order, which training amplifies; a GPU draws otherwise, too.

    Raises:
        SjepaError: made on a CPU, and a reading differs by more than the width of the package's
            95 % interval.
    """
    mine, theirs = (load_file(home / "quick" / "target.safetensors") for home in (RUNS, SHIPPED))
    far = []
    for row in quick_runs():
        made, kept = (
            {(r["split"], r["metric"]): r for r in read_result(home / row.run)["readings"]}
            for home in (RUNS, SHIPPED))
        far += [f"{row.run} {name[1]} {made[name]['value']:.1f}" for name, r in kept.items()
                if abs(made[name]["value"] - r["value"]) > r["high"] - r["low"]]
    if far and read_result(RUNS / "quick")["stages"]["pretrain"]["device"].startswith("CPU"):
        raise SjepaError("the quick run reads otherwise than the package's (" + ", ".join(far)
                         + "): what computes it changed; `--ship` puts the new one in its place")
    if all(mine[name].equal(theirs[name]) for name in theirs):
        return "the encoder equals the package's to the bit"
    return ("the encoder is not the package's to the bit, as on another processor or device; "
            f"readings further apart than the width of an interval: {', '.join(far) or 'none'}")


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = Parser(prog="python -m sjepa.reproduce", description=__doc__)
    parser.add_argument("what", choices=["quick"])
    parser.add_argument("--ship", action="store_true", help="put the runs into the package")
    args = parser.parse_args(argv)
    print(reproduce())
    if args.ship:
        ship()
    print(beside_shipped())
