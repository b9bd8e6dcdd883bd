"""Sets of one file a clip, whose name says what the clip shows: most of the open ones."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sjepa.datasets.build import PrepareConfig
from sjepa.datasets.layouts import map_clip
from sjepa.datasets.store import Clip, LeftOut
from sjepa.datasets.text import find_files, parse_name


@dataclass(frozen=True)
class ClipFiles:
    """The files of such a set, and how each becomes a clip."""

    glob: str  #: pattern of the files' names, in small letters
    #: Regular expression of a name without its suffix, behind names of folders perhaps. Its groups
    #: are called as `Clip` calls them: label, which counts from 1, subject, view, rep, setup;
    #: others are for `name` alone.
    scheme: str
    like: str  #: a good name, for errors
    layout: str  #: the joints that are read, a key of `LAYOUTS`
    #: Reads a file: people `[T, (M,) J, 3]` in metres, or why it is left out.
    positions: Callable[[Path], np.ndarray | LeftOut]
    #: Group to its words, whose places are the numbers; a file with another word is left out.
    words: Mapping[str, Sequence[str]] = field(default_factory=dict)
    name: str = ""  #: what a clip is called, a format of the groups; nothing: as its file

    def files(self, raw: Path) -> list[Path]:
        """The set's files below a folder, sorted by name; see `find_files`."""
        return find_files(raw, self.glob, re.compile(self.scheme), self.like)

    def said(self, path: Path) -> dict[str, str]:
        """The groups of a file's name; a name off the scheme is a `SjepaError`."""
        return parse_name(path, re.compile(self.scheme), self.like).groupdict()

    def read(self, path: Path, options: PrepareConfig | None) -> list[Clip | LeftOut]:
        """The file's clip."""
        said, numbers = self.said(path), {"label": 0}
        for group, word in said.items():
            words = self.words.get(group)
            if words and word not in words:
                return [LeftOut(path.stem, f"{word} is no {group} that is used")]
            if group in ("label", "subject", "view", "rep", "setup"):
                numbers[group] = words.index(word) if words else int(word) - (group == "label")
        name = self.name.format(**{group: int(word) if word.isdecimal() else word
                                   for group, word in said.items()})
        found = self.positions(path)
        if isinstance(found, LeftOut):
            return [found]
        clip = map_clip(path, self.layout, found)
        return [Clip(clip, name=name or path.stem, **numbers)]
