"""Preparing: parallel equals serial, a kill loses nothing, an error leaves nothing."""

import errno
import functools
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from sjepa import synthetic
from sjepa.config import ROOT
from sjepa.datasets import building, prepare_store
from sjepa.datasets.building import Job, build
from sjepa.datasets.items import Item, LeftOut
from sjepa.datasets.options import PrepareConfig
from sjepa.datasets.store import StoreError, open_store
from sjepa.datasets.writer import Interrupted, StoreWriter
from sjepa.errors import SjepaError


def make(k):
    """The clips of job k: two, or one that is left out."""
    if k % 5 == 4:
        return [LeftOut(f"c{k}", "every fifth")]
    rng = np.random.default_rng(k)
    return [Item(rng.normal(size=(3 + k % 4, 1 + k % 2, 25, 3)).astype("f4"), k % 3, f"c{k}{side}",
                 subject=k) for side in "ab"]


def noting(read, k):
    """As `make`, and says so."""
    read.append(k)
    return make(k)


def fail(k, what="off the grammar"):
    raise SjepaError(f"file {k}: {what}")


def vanish():
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/some/where")


def die():
    os._exit(1)


def some_jobs(count=40):
    return [Job(functools.partial(make, k), what=f"job {k}") for k in range(count)]


def store_of(path, jobs, workers=1, **kwargs):
    with StoreWriter(path, "synthetic", ["a", "b", "c"], stamps=[j.stamp for j in jobs],
                     **kwargs) as writer:
        build(writer, jobs, workers)
    return open_store(path, verify=True)


def same(one, two):
    arrays = ("frames", "offsets", "lengths", "scales", "labels", "subjects", "names")
    return one.meta == two.meta and all(
        np.array_equal(getattr(one, a), getattr(two, a)) for a in arrays)


def test_two_processes_write_what_one_does(tmp_path):
    one, two = store_of(tmp_path / "1", some_jobs()), store_of(tmp_path / "2", some_jobs(), 2)
    assert len(one) == 64 and same(one, two)
    assert one.meta["left_out"] == [[f"c{k}", "every fifth"] for k in range(4, 40, 5)]
    assert os.listdir(tmp_path / "1") == os.listdir(tmp_path / "2")


class Kill(KeyboardInterrupt):
    pass


@pytest.mark.parametrize("after, lost, first", [
    (0, 0, 0), (7, 0, 7), (23, 0, 23), (23, 1, 22), (23, 400, 22)])
def test_an_interrupted_run_goes_on_to_the_bit(tmp_path, after, lost, first):
    """Killed after some jobs, the journal's or the frames' last bytes perhaps not on disk."""
    whole = store_of(tmp_path / "whole", some_jobs())
    read = []

    def stop(k):
        if k == after:
            raise Kill
        return make(k)

    path = tmp_path / "x"
    jobs = [Job(functools.partial(stop, k), what=f"job {k}") for k in range(40)]
    with pytest.raises(Kill):
        store_of(path, jobs)
    assert not path.exists()
    frames = path.with_name("x.partial") / "frames.npy"
    if lost:
        os.truncate(frames, frames.stat().st_size - lost)
    else:  # the kill came while a clip, and a line of the journal, were being written
        frames.write_bytes(frames.read_bytes() + bytes(100))
        with (path.with_name("x.partial") / "journal.jsonl").open("a") as journal:
            journal.write('{"job": "job')
    jobs = [Job(functools.partial(noting, read, k), what=f"job {k}") for k in range(40)]
    assert same(store_of(path, jobs), whole)
    assert read[0] == first
    assert sorted(os.listdir(tmp_path)) == ["whole", "x"]


def test_what_changed_since_the_kill_is_read_again(tmp_path):
    def stop(k):
        if k == 20:
            raise Kill
        return make(k)

    path = tmp_path / "x"
    for change, first in ((dict(), 20), (dict(note="other options"), 0)):
        with pytest.raises(Kill):
            store_of(path, [Job(functools.partial(stop, k), what=f"{k}") for k in range(40)])
        read = []
        jobs = [Job(functools.partial(noting, read, k), what=f"{k}") for k in range(40)]
        assert same(store_of(path, jobs, **change), store_of(tmp_path / "w", jobs, **change))
        assert read[0] == first
    with pytest.raises(Kill):
        store_of(path, [Job(functools.partial(stop, k), what=f"{k}") for k in range(40)])
    read = []
    jobs = [Job(functools.partial(noting, read, k), what=f"{k}" if k != 11 else "new")
            for k in range(40)]
    store_of(path, jobs)
    assert read[0] == 11


def test_a_killed_command_goes_on(tmp_path):
    """SIGKILL in the middle of the command itself; the second run reads only the rest."""
    raw = tmp_path / "raw"
    synthetic.write_skeleton_files(raw, subjects=(0, 1), actions=range(12))
    slow = textwrap.dedent("""
        import time
        from sjepa.datasets.sources import ntu_clips
        read = ntu_clips.read
        def late(path, copied):
            time.sleep(0.05)
            return read(path, copied)
        ntu_clips.read = late
        from sjepa.prepare import main
        main()
    """)
    command = [sys.executable, "-c", slow, "ntu60", "--raw", raw, "--out", tmp_path, "--workers", 1]
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    first = subprocess.Popen(list(map(str, command)), env=env, stderr=subprocess.DEVNULL)
    journal = tmp_path / "ntu60.partial" / "journal.jsonl"
    until = time.monotonic() + 60
    while time.monotonic() < until and not (
            journal.exists() and len(journal.read_text().splitlines()) > 10):
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    done = len(journal.read_text().splitlines()) - 1
    assert 10 <= done < 72 and not (tmp_path / "ntu60").exists()
    second = subprocess.run(list(map(str, command)), env=env, capture_output=True, text=True)
    assert second.returncode == 0, second.stderr
    assert f" {done}/72 " in second.stderr and " 0/72 " not in second.stderr
    again = open_store(prepare_store("ntu60", raw, tmp_path / "again"), verify=True)
    assert same(open_store(tmp_path / "ntu60", verify=True), again)


def test_all_bad_files_are_named_at_once(tmp_path):
    jobs = some_jobs()
    jobs[3] = Job(functools.partial(fail, 3))
    with pytest.raises(SjepaError, match="^file 3: off the grammar$"):
        store_of(tmp_path / "x", jobs, 2)
    jobs[30] = Job(vanish)
    with pytest.raises(SjepaError, match="^2 of 40 .*file 3: .*cannot read /some/where: No such"):
        store_of(tmp_path / "x", jobs, 2)
    with pytest.raises(SjepaError, match="^at least 20 of 30"):
        store_of(tmp_path / "x", [Job(functools.partial(fail, k)) for k in range(30)])
    assert os.listdir(tmp_path) == []


def test_two_clips_of_one_name_are_refused(tmp_path):
    with pytest.raises(SjepaError, match="two clips have the name c1a"):
        store_of(tmp_path / "x", [*some_jobs(3), Job(functools.partial(make, 1), what="again")])
    assert os.listdir(tmp_path) == []


def test_a_dead_process_keeps_what_is_done(tmp_path):
    jobs = [*some_jobs(40), Job(die)]
    with pytest.raises(Interrupted, match="fewer --workers; what is done is kept"):
        store_of(tmp_path / "x", jobs, 2)
    assert os.listdir(tmp_path) == ["x.partial"]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    def full(self, body):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    old = store_of(tmp_path / "x", some_jobs(3))
    monkeypatch.setattr(StoreWriter, "_append", full)
    with pytest.raises(StoreError, match="cannot write .*x: No space left"):
        store_of(tmp_path / "x", some_jobs())
    monkeypatch.setattr(np, "savez", lambda *a, **k: full(None, None))
    monkeypatch.undo()
    monkeypatch.setattr(np, "savez", lambda *a, **k: full(None, None))
    with pytest.raises(StoreError, match="No space left"):
        store_of(tmp_path / "x", some_jobs())
    assert os.listdir(tmp_path) == ["x"] and same(open_store(tmp_path / "x", verify=True), old)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        store_of(tmp_path / "file" / "x", some_jobs(2))


# ---------------------------------------------------------------------- int16, copies, options


def test_int16_stays_within_its_bound(tmp_path):
    rng = np.random.default_rng(1)
    clips = [rng.normal(size=(40, 2, 25, 3)).astype("f4") * size for size in (0.01, 1, 30)]
    clips[1][:7, 1] = 0
    jobs = [Job(lambda k=k, c=c: [Item(c, 0, f"c{k}")], what=str(k)) for k, c in enumerate(clips)]
    store = store_of(tmp_path / "x", jobs, dtype="int16")
    assert store.frames.dtype == np.int16
    worst = 0.0
    data = store.to("cpu")
    for k, clip in enumerate(clips):
        error = np.abs(store.clip(k) - clip).max()
        assert error <= np.abs(clip).max() / 65534 * 1.006
        worst = max(worst, error)
        for body, start in enumerate(store.offsets[k]):
            part = data.frames[start : start + store.lengths[k]].numpy()
            assert np.array_equal(part, store.clip(k)[:, body])
    assert not store.clip(1)[:7, 1].any()  # absence stays absence
    assert worst <= store.meta["error_bound"] <= worst * 1.2


def test_a_copied_second_body_costs_nothing(tmp_path):
    one = np.random.default_rng(0).normal(size=(9, 1, 25, 3)).astype("f4")
    two = np.repeat(one, 2, 1)
    jobs = [Job(lambda: [Item(two, 0, "copied"), Item(one, 0, "alone")])]
    for dtype in ("float32", "int16"):
        store = store_of(tmp_path / dtype, jobs, dtype=dtype)
        assert len(store.frames) == 18 and store.offsets.tolist() == [[0, 0], [9, -1]]
        assert np.abs(store.clip(0) - two).max() <= store.meta["error_bound"]
        data = store.to("cpu").frames[:9].numpy()
        assert np.array_equal(data, store.clip(0)[:, 1])


@pytest.mark.parametrize("name, second_body, copied", [
    ("ntu60", "lineage", False), ("ntu120", "lineage", True), ("ntu60", "copied", True),
    ("ntu120", "absent", False)])
def test_second_body_of_one_person_clips(tmp_path, name, second_body, copied):
    synthetic.write_skeleton_files(tmp_path, subjects=(0,), actions=(0,), views=(0,))
    path = prepare_store(name, tmp_path, tmp_path, PrepareConfig(second_body=second_body))
    store = open_store(path)
    assert (store.offsets[0, 1] == store.offsets[0, 0]) == copied
    assert store.meta["options"]["second_body"] == second_body
    with pytest.raises(SjepaError, match="second_body = 'both': expected one of lineage"):
        prepare_store(name, tmp_path, tmp_path, PrepareConfig(second_body="both"))


def test_memory_is_bounded_by_the_window(monkeypatch):
    """No more chunks are read ahead than the window holds."""
    submitted, taken = [], []

    class Pool:
        def __init__(self, workers, initializer):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def submit(self, read, chunk):
            submitted.append(len(chunk))

            class Future:
                def result(self):
                    taken.append(len(chunk))
                    return [[]] * len(chunk)

                def cancel(self):
                    pass

            return Future()

    monkeypatch.setattr(building, "ProcessPoolExecutor", Pool)
    jobs = [Job(list, what=str(k)) for k in range(1000)]
    ahead = 0
    for _ in building._read_in_order(jobs, 2):
        ahead = max(ahead, sum(submitted) - sum(taken))
    assert sum(taken) == 1000 and ahead <= 2 * building._AHEAD * building._CHUNK


def test_two_processes_at_once_make_one_whole_store(tmp_path):
    """The second waits for the first and then makes the store in its place."""
    raw = tmp_path / "raw"
    synthetic.write_skeleton_files(raw, subjects=(0,), actions=(0, 1))
    code = ("from sjepa.datasets import prepare_store; import sys; "
            "prepare_store('ntu60', sys.argv[1], sys.argv[2])")
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    runs = [subprocess.Popen([sys.executable, "-c", code, str(raw), str(tmp_path)], env=env,
                             stderr=subprocess.PIPE) for _ in range(2)]
    for run in runs:
        _, said = run.communicate(timeout=240)
        assert run.returncode == 0, said
    assert len(open_store(tmp_path / "ntu60", verify=True)) == 6
    assert sorted(os.listdir(tmp_path)) == ["ntu60", "raw"]
