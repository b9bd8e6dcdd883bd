"""The list that `make mutants` runs: every mutant can be made, and only a failing test counts."""

import mutants
import pytest
from mutants import FAILED, LIST, PASSED, ROOT, Mutant, read_mutants, verdict


def test_every_line_stands_once_and_every_test_is_there():
    listed = read_mutants()
    assert len(listed) >= 60 and len({(m.file, m.old, m.new) for m in listed}) == len(listed)
    for mutant in listed:
        mutant.changed(ROOT)  # or says which line is gone
        for test in mutant.tests.split():
            path, _, name = test.partition("::")
            assert f"def {name}" in (ROOT / "tests" / path).read_text(), f"{LIST.name}: {test}"


@pytest.mark.parametrize("old, status, said", [
    ("x = 1", FAILED, "caught  a.py: x"), ("x = 1", PASSED, "MISSED  a.py: x"),
    ("x = 1", pytest.ExitCode.USAGE_ERROR, "FAULT   a.py: x: no test was run"),
    ("x = 3", FAILED, "FAULT   a.py: the line 'x = 3' stands 0 times"),
    ("y = 1", FAILED, "FAULT   a.py: the line 'y = 1' stands 2 times"),
])
def test_a_mutant_is_caught_by_a_failing_test_alone(tmp_path, monkeypatch, old, status, said):
    (tmp_path / "a.py").write_text("x = 1\ny = 1\n    y = 1\n")

    def run_tests(tests, changed):
        assert (tests, changed) == ("b c", {"a.py": "x = 2\ny = 1\n    y = 1\n"})
        return status, "words"

    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    monkeypatch.setattr(mutants, "run_tests", run_tests)
    noticed, line = verdict(Mutant("a.py", "x", old, "x = 2", "b c"))
    assert noticed == said.startswith("caught") and line.startswith(said)
