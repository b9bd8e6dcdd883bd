"""What the pages need and Colab may lack: glued values, and tables made of records."""

import numbers

import numpy as np

from sjepa.protocols.fusion import Predictions

NOT_RUN = "not run"


def glue(name: str, value) -> None:
    """Give the prose a value by the name in its role `glue:text`; floats with one decimal.

    Outside the book's build this only prints it.
    """
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        value = f"{value:.1f}"
    try:
        from myst_nb import glue as myst_glue
    except ImportError:
        print(f"{name} = {value}")
        return
    myst_glue(name, str(value), display=False)


class Cell(str):
    """The text of a reading; in a table it carries in HTML which reading it is."""

    def __new__(cls, text: str, reading: dict):
        made = super().__new__(cls, text)
        names = " ".join(reading[name] for name in ("run", "split", "protocol", "metric"))
        made.marked = (f'<span data-reading="{names}" data-value="{reading["value"]}">'
                       f"{text}</span>")
        return made


class Table:
    """Rows as a Markdown table; a title that starts with > is flush right, None is “not run”."""

    def __init__(self, head: list[str], rows: list[list]):
        marks = ["--:" if title.startswith(">") else ":--" for title in head]
        self.lines = [[title.lstrip("> ") for title in head], marks, *rows]

    def _joined(self, written) -> str:
        return "\n".join(
            "| " + " | ".join(NOT_RUN if cell is None else written(cell) for cell in line) + " |"
            for line in self.lines)

    @property
    def text(self) -> str:
        """The table as Markdown."""
        return self._joined(str)

    def _repr_markdown_(self) -> str:
        return self._joined(lambda cell: cell.marked if isinstance(cell, Cell) else str(cell))


def written(value) -> str:
    """A setting's value, as pages show it."""
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def percent(reading: dict | None, after: str = "") -> str:
    """A reading's value with its 95 % interval, or “not run”; `after` is put behind it.

    A mean of readings is of no one run, so that no page can look it up.
    """
    if reading is None:
        return NOT_RUN
    text = f"{reading['value']:.1f} [{reading['low']:.1f},\N{NO-BREAK SPACE}{reading['high']:.1f}]"
    return Cell(text + after, reading) if "run" in reading else text + after


def confused_pairs(matrix: np.ndarray, k: int = 10) -> list[tuple[int, int, int]]:
    """The k pairs of classes that are mistaken for each other most often.

    `matrix` `[classes, classes]` is `sklearn.metrics.confusion_matrix`'s, of counts.

    Returns:
        `(a, b, mistakes)` with a < b, both directions added up, most mistakes first; ties stand
        in the order of the classes, pairs without a mistake are left out.
    """
    both = np.triu(matrix + matrix.T, 1)
    order = np.argsort(-both, axis=None, kind="stable")[:k]
    pairs = (divmod(int(at), len(matrix)) for at in order)
    return [(a, b, int(both[a, b])) for a, b in pairs if both[a, b]]


def class_table(made: Predictions) -> Table:
    """Accuracy of each class in percent, the worst first, with its number of test clips."""
    right = made.labels[made.labels == made.predicted]
    right, clips = (np.bincount(each, minlength=len(made.classes)) for each in (right, made.labels))
    with np.errstate(invalid="ignore"):
        accuracy = 100 * right / clips  # NaN of a class without a test clip
    return Table(["class", "> test clips", "> accuracy, %"], [
        [made.classes[k], clips[k], f"{accuracy[k]:.1f}" if clips[k] else "–"]
        for k in accuracy.argsort(kind="stable")])


def pairs_table(made: Predictions) -> Table:
    """The ten pairs of classes that are mistaken for each other most often."""
    from sklearn.metrics import confusion_matrix  # here: it loads as slowly as torch

    matrix = confusion_matrix(made.labels, made.predicted, labels=range(len(made.classes)))
    return Table(["one", "other", "> mistakes"], [
        [made.classes[a], made.classes[b], count] for a, b, count in confused_pairs(matrix)])


def readings_table(result: dict) -> Table:
    """One line a reading of a run's result."""
    return Table(["test clips", "metric", "> value, %"],
                 [[r["split"], r["metric"], percent(r | {"run": result["run"]})]
                  for r in result["readings"]])
