from collections.abc import Mapping

import pytest

from lens_engine.errors import ConfigError
from lens_training.running.processes.world import ALONE, Launcher, World, world_of

TORCHRUN = {"TORCHELASTIC_RUN_ID": "1", "LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8", "RANK": "5", "LOCAL_RANK": "1"}
SRUN = {"SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_NNODES": "2", "SLURM_NTASKS_PER_NODE": "4"}


def test_one_device_is_one_process():
    assert world_of(1, 1, {}) == ALONE == World(devices=1, nodes=1, rank=0)
    assert ALONE.is_first


def test_several_devices_of_one_node_have_to_be_started_and_then_know_their_number():
    assert not world_of(2, 1, {}).is_started
    started = world_of(2, 1, {"LOCAL_RANK": "1"})
    assert (started.is_started, started.rank, started.size) == (True, 1, 2)
    assert not started.is_first


def test_torchrun_says_itself_how_many_there_are():
    assert world_of(1, 1, TORCHRUN) == World(devices=4, nodes=2, rank=5, launcher=Launcher.TORCHRUN)


def test_srun_is_believed_where_several_devices_or_nodes_are_asked_for():
    assert world_of(4, 2, SRUN) == World(devices=4, nodes=2, rank=5, launcher=Launcher.SLURM)


def test_a_job_within_a_slurm_allocation_is_alone_unless_it_asks_for_more():
    assert world_of(1, 1, SRUN) == ALONE


@pytest.mark.parametrize(
    ("devices", "nodes", "environment", "message"),
    [
        (2, 1, TORCHRUN, "torchrun started 4 processes on each of 2 nodes"),
        (2, 2, SRUN, "srun started 4 processes on each of 2 nodes"),
        (4, 2, {name: value for name, value in SRUN.items() if name != "SLURM_NTASKS_PER_NODE"}, "ntasks-per-node=4"),
        (2, 2, {}, "Start it with torchrun or srun"),
    ],
)
def test_a_start_that_does_not_fit_the_request_is_refused(
    devices: int, nodes: int, environment: Mapping[str, str], message: str
):
    with pytest.raises(ConfigError, match=message):
        world_of(devices, nodes, environment)
