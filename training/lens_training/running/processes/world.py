"""The processes of one run: how many there are, which one this is, and who started them.

A run of several devices on one node starts the other processes itself. Runs of several nodes are started from outside,
by torchrun or by SLURM's srun, once for every device.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from lens_engine.errors import ConfigError


class Launcher(StrEnum):
    """Who starts the processes of a run."""

    SELF = "self"
    TORCHRUN = "torchrun"
    SLURM = "srun"


@dataclass(frozen=True, slots=True)
class World:
    """All processes of a run, seen from one of them.

    Attributes
    ----------
    devices
        Processes on every node, each with a device of its own.
    rank
        Number of this process among all of them.
    is_started
        False where this process has still to start those of the run and is none of them.
    """

    devices: int = 1
    nodes: int = 1
    rank: int = 0
    launcher: Launcher = Launcher.SELF
    is_started: bool = True

    @property
    def size(self) -> int:
        """How many processes there are."""
        return self.devices * self.nodes

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes files and speaks."""
        return self.rank == 0

    def environment(self) -> ClusterEnvironment:
        """Return what tells Lightning the same; left to itself it would take any trace of SLURM for an order."""
        if self.launcher is Launcher.TORCHRUN:
            return TorchElasticEnvironment()
        if self.launcher is Launcher.SLURM:
            return SLURMEnvironment(auto_requeue=False)
        return LightningEnvironment()


ALONE = World()
"""One process."""


def world_of(devices: int, nodes: int, environment: Mapping[str, str]) -> World:
    """Return the processes of this run.

    Parameters
    ----------
    devices, nodes
        How many the user asked for. Under torchrun 1 and 1 stand for what torchrun was told.
    environment
        Variables of this process.

    Raises
    ------
    ConfigError
        If torchrun or srun started another number of processes, or nobody starts those of several nodes.
    """
    if "TORCHELASTIC_RUN_ID" in environment:
        return _checked(_torchrun_world(environment), devices, nodes, is_optional=True)
    if devices * nodes > 1 and "SLURM_PROCID" in environment and environment.get("SLURM_NTASKS", "1") != "1":
        return _checked(_slurm_world(environment), devices, nodes)
    if nodes > 1:
        raise ConfigError(
            f"The run is to have {nodes} nodes, but nothing started a process on each of them",
            "Only the processes of one node are started from here",
            "Start it with torchrun or srun",
        )
    if devices == 1:
        return ALONE
    # The processes that we start repeat our command line, and know their number from this variable.
    return World(devices, rank=int(environment.get("LOCAL_RANK", 0)), is_started="LOCAL_RANK" in environment)


def _torchrun_world(environment: Mapping[str, str]) -> World:
    devices = int(environment["LOCAL_WORLD_SIZE"])
    nodes, rank = int(environment["WORLD_SIZE"]) // devices, int(environment["RANK"])
    return World(devices, nodes, rank, Launcher.TORCHRUN)


def _slurm_world(environment: Mapping[str, str]) -> World:
    nodes = int(environment.get("SLURM_NNODES", "1"))
    devices, rank = int(environment["SLURM_NTASKS"]) // nodes, int(environment["SLURM_PROCID"])
    if "SLURM_NTASKS_PER_NODE" not in environment:
        raise ConfigError(
            f"srun started {nodes * devices} tasks without saying how many there are on each node",
            "One task for each device of every node is needed",
            f"Give srun or sbatch --ntasks-per-node={devices}",
        )
    return World(devices, nodes, rank, Launcher.SLURM)


def _checked(world: World, devices: int, nodes: int, *, is_optional: bool = False) -> World:
    if (devices, nodes) != (world.devices, world.nodes) and not (is_optional and devices == nodes == 1):
        raise ConfigError(
            f"--devices {devices} --nodes {nodes} were asked for, but {world.launcher} started {world.devices} "
            f"processes on each of {world.nodes} nodes",
            "Both must be the same",
            f"Use --devices {world.devices} --nodes {world.nodes}, or start {world.launcher} otherwise",
        )
    return world
