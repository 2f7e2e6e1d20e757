import os

import pytest

from lens_training.detector.data_workers import MOST_WORKERS, data_workers


def test_what_somebody_asked_for_is_taken_as_it_is():
    assert data_workers(0, 1, has_gpu=True) == 0
    assert data_workers(40, 4, has_gpu=False) == 40


def test_without_a_gpu_the_network_needs_every_core():
    assert data_workers(None, 1, has_gpu=False) == 0


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs a system that says which cores a process has")
@pytest.mark.parametrize(
    ("cores", "free_gib", "devices", "expected"),
    [(8, 64, 1, 7), (16, 256, 4, 3), (2, 64, 1, 1), (1, 1, 1, 1), (64, 8, 1, 4), (128, 900, 1, MOST_WORKERS)],
)
def test_cores_and_memory_of_the_machine_are_shared_by_its_devices(
    cores: int, free_gib: int, devices: int, expected: int, monkeypatch: pytest.MonkeyPatch
):
    class Memory:
        available = free_gib * 2**30

    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(cores)))  # the system's answers
    monkeypatch.setattr("psutil.virtual_memory", Memory)
    assert data_workers(None, devices, has_gpu=True) == expected
