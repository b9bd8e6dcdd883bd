"""The short fault campaign, and that its record is whole."""

import json
import os
import re
import subprocess
import sys
import tomllib

from sjepa.config import RESULTS, ROOT

SCRIPT = ROOT / "tests" / "faults" / "campaign.py"


def test_what_is_killed_or_damaged_goes_on_or_says_why():
    """In a process of its own, which is forked for each job."""
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, SCRIPT], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert done.stdout.startswith("8 kills, ")


def test_the_record_is_of_a_long_campaign_in_which_nothing_went_wrong():
    record = json.loads((RESULTS / "faults.json").read_text())
    assert record["long"] and not record["wrong"] and not record["changed"]
    assert sum(row["kills"] for row in record["kills"].values()) >= 25
    assert sum(row["read"] + row["refused"] for row in record["mutated"].values()) >= 100_000
    assert len(record["faults"]) >= 15 and len(record["hostile"]) >= 20


def test_each_direct_dependency_is_listed_with_its_licence():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
    listed = json.loads((RESULTS / "faults.json").read_text())["dependencies"]
    for line in lines:
        own = listed[re.match(r"[\w-]+", line)[0]]
        assert own["licence"] != "not known" or own["version"] == "not installed"
