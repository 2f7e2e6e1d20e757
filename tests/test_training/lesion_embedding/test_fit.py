import io
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.training.embedding_looks import CONFIG, ONTOLOGY, RECIPE, scans

from lens_engine.errors import CheckpointError, SeriesError
from lens_engine.jobs.names import LAST_CHECKPOINT
from lens_engine.lesion_embedding.network import EmbeddingNetwork
from lens_engine.lesion_embedding.patches import cut_patch
from lens_engine.volume import Volume
from lens_training.errors import TrainingInterruptedError, TrainingStoppedError
from lens_training.lesion_embedding.fit import EmbeddingRun, fit_embedding, new_embedding
from lens_training.lesion_embedding.patch_file import (
    LOOKS_FILE,
    PATCHES_FILE,
    known_looks,
    open_patches,
    write_patches,
)
from lens_training.running.progress import ProgressLog
from lens_training.running.runner import Reports
from lens_training.running.stopping import StopSignal


@pytest.fixture(autouse=True)
def keep_process_state() -> Iterator[None]:
    handler, threads = signal.getsignal(signal.SIGTERM), torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    signal.signal(signal.SIGTERM, handler)


class TerminatingStream(io.StringIO):
    """Sends SIGTERM to this process at a certain message."""

    def __init__(self, stage: str, done: int) -> None:
        super().__init__()
        self._at = (stage, done)

    def write(self, text: str) -> int:
        message = json.loads(text)
        if (message["stage"], message["done"]) == self._at:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().write(text)


def train(
    folder: Path,
    stream: io.StringIO | None = None,
    *,
    resume: bool = False,
    fingerprint: str = "same",
    **changes: object,
) -> EmbeddingNetwork:
    folder.mkdir(exist_ok=True)
    network, stop = new_embedding(CONFIG, 0), StopSignal()
    stop.listen()
    run = EmbeddingRun(scans(), 2, ONTOLOGY, RECIPE.model_copy(update=changes), 0, fingerprint, folder)
    log = ProgressLog(io.StringIO() if stream is None else stream, None, interval_seconds=0)
    assert fit_embedding(network, run, Reports(log, stop), resume=resume) == 8
    return network


def same_weights(one: EmbeddingNetwork, other: EmbeddingNetwork) -> bool:
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_a_run_changes_the_network_and_reports_every_part_of_the_loss(tmp_path: Path):
    stream = io.StringIO()
    network = train(tmp_path, stream)
    messages = [json.loads(line) for line in stream.getvalue().splitlines()]
    steps = [message for message in messages if message["stage"] == "train"]
    assert [message["done"] for message in steps] == list(range(1, 9))
    parts = ("terms", "hard terms", "propagated terms", "triplets")
    assert steps[0]["loss"] == pytest.approx(sum(steps[0][part] for part in parts), rel=1e-5)
    assert not network.training
    assert not same_weights(network, new_embedding(CONFIG, 0))


def test_looks_at_one_lesion_come_nearer_and_others_move_away(tmp_path: Path):
    changes = {"epochs": 4, "nearness": 0.2, "margin": 0.5}
    before, after = new_embedding(CONFIG, 0).eval(), train(tmp_path, **changes)
    looks = known_looks(tmp_path, CONFIG, "same")
    assert looks is not None
    records = open_patches(tmp_path, CONFIG, len(looks))
    pixels, boxes = torch.from_numpy(records["pixels"].astype(np.float32)), torch.from_numpy(records["box"].copy())
    lesions = np.asarray([look.lesion for look in looks])
    same = torch.from_numpy(lesions[:, None] == lesions[None])
    shares = []
    for network in (before, after):
        with torch.no_grad():
            embedding = network(pixels, boxes).embedding
        distances = torch.cdist(embedding, embedding)
        shares.append(float(distances[same].mean() / distances[~same].mean()))
    assert shares[1] < shares[0]


def test_a_run_that_was_stopped_and_resumed_equals_one_that_was_not(tmp_path: Path):
    changes = {"shift": 1, "box_jitter": 0.1, "noise": 1.0, "nearness": 0.3}
    whole = train(tmp_path / "whole", **changes)
    with pytest.raises(TrainingStoppedError):
        train(tmp_path / "parts", TerminatingStream("train", 3), **changes)
    assert same_weights(whole, train(tmp_path / "parts", resume=True, **changes))
    assert same_weights(whole, train(tmp_path / "parts", resume=True, **changes))  # finished already


def test_a_stop_while_cutting_leaves_no_patches_that_look_complete(tmp_path: Path):
    with pytest.raises(TrainingStoppedError):
        train(tmp_path, TerminatingStream("prepare", 0))
    assert not (tmp_path / LOOKS_FILE).exists()
    assert not (tmp_path / PATCHES_FILE).exists()


def test_a_scan_that_cannot_be_read_is_named_and_left_out_up_to_a_share(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    def unreadable() -> Volume:
        raise SeriesError("File 3 of 9 is cut off", "A whole file", "Copy it again")

    first, last = scans()
    shown, reports = (first, replace(last, load=unreadable)), Reports(ProgressLog(None, None), StopSignal())
    looks = write_patches(tmp_path, shown, 100, CONFIG, "same", reports)
    assert looks == first.looks
    assert len(open_patches(tmp_path, CONFIG, len(looks))) == len(looks)
    assert "Scan scan 1 is left out (1 of at most 1)" in caplog.text
    with pytest.raises(TrainingInterruptedError, match="1 of 2 scans cannot be read, the last one is scan 1"):
        write_patches(tmp_path, shown, 2, CONFIG, "same", reports)
    assert known_looks(tmp_path, CONFIG, "same") is None


def test_resuming_another_run_is_refused_and_starting_anew_is_not(tmp_path: Path):
    train(tmp_path)
    with pytest.raises(CheckpointError, match="belongs to another run"):
        train(tmp_path, resume=True, fingerprint="other")
    train(tmp_path, fingerprint="other")
    assert (tmp_path / LAST_CHECKPOINT).exists()


def test_the_patches_in_the_file_are_those_of_inference(tmp_path: Path):
    train(tmp_path)
    looks = known_looks(tmp_path, CONFIG, "same")
    assert looks == tuple(look for scan in scans() for look in scan.looks)
    records = open_patches(tmp_path, CONFIG, len(looks))
    patch = cut_patch(scans()[0].load(), CONFIG, looks[1].slice_index, looks[1].box)
    np.testing.assert_allclose(records[1]["pixels"], patch.pixels, atol=0.07)
    np.testing.assert_array_equal(records[1]["box"], patch.box)
    with (tmp_path / PATCHES_FILE).open("ab") as file:
        file.write(b"x")
    assert known_looks(tmp_path, CONFIG, "same") is None


def test_patches_of_other_lesions_are_cut_again(tmp_path: Path):
    train(tmp_path)
    assert known_looks(tmp_path, CONFIG, "other") is None
    wider = CONFIG.model_copy(update={"patch_side": 18})
    assert known_looks(tmp_path, wider, "same") is None
