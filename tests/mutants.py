"""Run the mutants of tests/mutants.yaml: `python tests/mutants.py [WORD …] [--jobs N]`.

Each is one changed line of the method in a copy of the tree; the tests that it names must fail
there. Words choose mutants by file or by what they break. The status is 1 if one goes unnoticed.
"""

import argparse
import contextlib
import importlib
import io
import multiprocessing
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "tests" / "mutants.yaml"
COPIED = ("sjepa", "tests", "notebooks/full", "book/results", "pyproject.toml")
#: What tests import from elsewhere takes longer than they do: loaded once, then forked.
LOADED = ("torch", "hypothesis", "pytest_timeout", "_hypothesis_pytestplugin", "scipy.stats",
          "safetensors.torch", "sklearn.linear_model", "tqdm", "filelock")
PASSED, FAILED = pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED


@dataclass(frozen=True)
class Mutant:
    """One changed line of `file`, what it breaks, and the tests that must notice it."""

    file: str
    breaks: str
    old: str
    new: str
    tests: str

    def changed(self, root: Path) -> str:
        """The file's text in `root` with the line changed.

        Raises:
            ValueError: the old line does not stand there exactly once.
        """
        lines = (root / self.file).read_text().splitlines(keepends=True)
        places = [k for k, line in enumerate(lines) if line.strip() == self.old]
        if len(places) != 1:
            raise ValueError(f"{self.file}: the line {self.old!r} stands {len(places)} times, "
                             f"expected once: write its mutant anew in {LIST.name}")
        lines[places[0]] = lines[places[0]].replace(self.old, self.new)
        return "".join(lines)


def read_mutants(path: Path = LIST) -> list[Mutant]:
    """All mutants of the list, in its order."""
    return [Mutant(file, **each) for file, own in yaml.safe_load(path.read_text()).items()
            for each in own]


def run_tests(tests: str, changed: dict[str, str]) -> tuple[int, str]:
    """Run `tests` in a copy of the tree with the texts `changed`; once in a process.

    Returns:
        pytest's status, and the first line that names a failure.
    """
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder).resolve()
        for name in COPIED:
            source, target = ROOT / name, tree / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)
        for name, text in changed.items():
            (tree / name).write_text(text)
        os.chdir(tree)
        sys.path[:0] = [str(tree)]
        os.environ |= {"PYTHONPATH": str(tree), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        with contextlib.redirect_stdout(io.StringIO()) as out:
            status = pytest.main([
                "-x", "-q", "-p", "no:cacheprovider", "-p", "pytest_timeout",
                "-p", "_hypothesis_pytestplugin", *(f"tests/{test}" for test in tests.split())])
        assert sys.modules["sjepa"].__file__.startswith(str(tree)), "another sjepa was tested"
    lines = out.getvalue().splitlines()
    return status, next((s for s in lines if s.startswith(("FAILED", "ERROR"))), lines[-1])


def verdict(mutant: Mutant) -> tuple[bool, str]:
    """Whether the named tests notice the mutant, and a line that says so."""
    try:
        status, said = run_tests(mutant.tests, {mutant.file: mutant.changed(ROOT)})
    except ValueError as error:
        return False, f"FAULT   {error}"
    where = f"{mutant.file}: {mutant.breaks}"
    if status == FAILED:
        return True, f"caught  {where}  [{said.split(' - ')[0]}]"
    if status == PASSED:
        return False, f"MISSED  {where}  [{mutant.tests} pass]"
    return False, f"FAULT   {where}: no test was run: {said}"


def unchanged(test: str) -> tuple[bool, str]:
    """Whether a test passes without a mutant, and a line that says so."""
    status, said = run_tests(test, {})
    return status == PASSED, f"without a mutant {test} does not pass: {said}"


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="of a file or of what is broken; none: all")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at once")
    args = parser.parse_args(argv)
    chosen = [m for m in read_mutants() if not args.words
              or any(word in f"{m.file} {m.breaks}" for word in args.words)]
    for name in LOADED:
        importlib.import_module(name)
    with multiprocessing.get_context("fork").Pool(args.jobs, maxtasksperchild=1) as pool:
        named = sorted({test for mutant in chosen for test in mutant.tests.split()})
        if wrong := [line for passed, line in pool.map(unchanged, named, 1) if not passed]:
            print(*wrong, sep="\n")
            return 1
        caught = 0
        for noticed, line in pool.imap(verdict, chosen):
            print(line, flush=True)
            caught += noticed
    print(f"{caught} of {len(chosen)} mutants were caught")
    return int(caught < len(chosen))


if __name__ == "__main__":
    sys.exit(main())
