"""What the pages need and Colab may lack: glued values, and tables made of records."""

from __future__ import annotations

import numbers

from sklearn.metrics import confusion_matrix

from sjepa.protocols.fusion import Predictions
from sjepa.protocols.metrics import confused_pairs, per_class_accuracy

NOT_RUN = "not run"


def glue(name: str, value) -> None:
    """Give the prose a value by name; outside the book's build this only prints it.

    Args:
        name: as the prose calls it: ``{glue:text}`name` ``.
        value: text or a number; floats are shown with one decimal.
    """
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        value = f"{value:.1f}"
    try:
        from myst_nb import glue as myst_glue
    except ImportError:
        print(f"{name} = {value}")
        return
    myst_glue(name, Text(value), display=False)


class Text:
    """A value that renders as itself: myst-nb would show a str with its quotation marks."""

    def __init__(self, value):
        self.value = str(value)

    def __repr__(self) -> str:
        return self.value


class Table:
    """Rows as a Markdown table, which the book renders in its own style.

    Args:
        head: column titles; one that starts with > is set flush right.
        rows: cells; None shows as «not run».
    """

    def __init__(self, head: list[str], rows: list[list]):
        marks = ["--:" if title.startswith(">") else ":--" for title in head]
        lines = [[title.lstrip("> ") for title in head], marks, *rows]
        self.text = "\n".join(
            "| " + " | ".join(NOT_RUN if cell is None else str(cell) for cell in line) + " |"
            for line in lines
        )

    def _repr_markdown_(self) -> str:
        return self.text


def percent(record: dict | None) -> str:
    """A record's value with its 95 % interval, or «not run»."""
    if record is None or record["value"] is None:
        return NOT_RUN
    low, high = record["interval"]
    return f"{record['value']:.1f} [{low:.1f},\N{NO-BREAK SPACE}{high:.1f}]"


def find(records: list[dict], **wanted) -> dict | None:
    """The first record whose fields equal `wanted`, or None."""
    for record in records:
        if all(record[name] == value for name, value in wanted.items()):
            return record
    return None


def _share(value: float) -> str:
    return "–" if value != value else f"{value:.1f}"  # NaN: no test clip of that class


def _confusion(made: Predictions):
    """Counts `[classes, classes]`: row = true class, column = predicted class."""
    return confusion_matrix(made.labels, made.predicted, labels=range(len(made.classes)))


def class_table(made: Predictions) -> Table:
    """Accuracy of each class in percent, the worst first, with its number of test clips."""
    matrix = _confusion(made)
    accuracy, clips = per_class_accuracy(matrix), matrix.sum(1)
    return Table(["class", "> test clips", "> accuracy, %"], [
        [made.classes[k], clips[k], _share(accuracy[k])] for k in accuracy.argsort(kind="stable")])


def pairs_table(made: Predictions, k: int = 10) -> Table:
    """The k pairs of classes that are mistaken for each other most often."""
    matrix = _confusion(made)
    return Table(["one", "other", "> mistakes"], [
        [made.classes[a], made.classes[b], count] for a, b, count in confused_pairs(matrix, k)])


def records_table(records: list[dict]) -> Table:
    """One line a record: what a run of a protocol wrote."""
    return Table(["test clips", "metric", "> value, %"],
                 [[r["split"], r["metric"], percent(r)] for r in records])
