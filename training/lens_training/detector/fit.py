"""The training of a detector: prepares its cases, learns from the batches of its plan, and goes on where it stopped."""

import logging
from functools import partial

import torch

from lens_engine.checkpoint_card import CARD_NAME
from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.network.cuda_kernels import kernels_in_words
from lens_engine.errors import GeometryError, SeriesError
from lens_engine.jobs.names import LAST_CHECKPOINT
from lens_training.datasets.unreadable import UnreadableScans
from lens_training.detector.batches import BatchMaker, batch_loader
from lens_training.detector.data_workers import data_workers
from lens_training.detector.label_check import label_warnings
from lens_training.detector.module import DetectorTraining
from lens_training.detector.planes import PlaneCache
from lens_training.detector.run import Run
from lens_training.detector.sampling import BatchPlan
from lens_training.detector.slice_cache import SliceCache
from lens_training.running.allocator import keep_freed_memory
from lens_training.running.course import Course
from lens_training.running.last_checkpoint import steps_done, weights_of
from lens_training.running.progress import ProgressLog, Stage
from lens_training.running.runner import Reports, train
from lens_training.running.stopping import StopSignal

_GIB = 2**30

logger = logging.getLogger(__name__)


def fit(model: LensDetector, run: Run, log: ProgressLog, stop: StopSignal, *, resume: bool = False) -> int:
    """Train the model in place and return how many steps the whole run has.

    With several processes each of them calls this with the same arguments, and all get the same weights.

    Parameters
    ----------
    resume
        Go on at the step of `last.ckpt`, from the beginning where there is none. Otherwise an earlier run in the
        folder is lost.

    Raises
    ------
    TrainingStoppedError, EndedElsewhereError, TrainingError, ConfigError
        For the reasons that `lens_training.running.runner.train` has.
    CheckpointError
        If `last.ckpt` belongs to another run.
    ProjectError
        If the training set holds nothing to learn from.
    """
    keep_freed_memory()
    plan = BatchPlan(run.training_set, run.recipe.sampling, run.seed)
    steps = run.recipe.steps_in(plan.batches_per_epoch, run.world.size)
    last = run.folder / LAST_CHECKPOINT
    if not resume and run.world.is_first:
        for name in (CARD_NAME, LAST_CHECKPOINT):
            (run.folder / name).unlink(missing_ok=True)
    first_step = steps_done(last, run.full_fingerprint) if resume else 0
    kept = {run.recipe.steps_of(epoch, plan.batches_per_epoch, run.world.size): epoch for epoch in run.kept_epochs}
    files = {step: run.kept_file(epoch) for step, epoch in kept.items()}
    course = Course(range(first_step, steps), run.folder, run.full_fingerprint, run.settings, run.world, files)
    if course.steps:
        _train(model, run, plan, course, Reports(log, stop))
    else:
        model.load_state_dict(weights_of(last, "model"))
    model.eval()
    return steps


def _train(model: LensDetector, run: Run, plan: BatchPlan, course: Course, reports: Reports) -> None:
    recipe = run.recipe
    sampling = recipe.sampling
    slices = SliceCache(sampling.slice_cache, int(sampling.slice_cache_gib * _GIB))
    cache = PlaneCache(run.training_set.cases, int(sampling.cache_gib * _GIB), slices)
    unreadable = UnreadableScans(len(run.training_set.cases), sampling.unreadable_share)
    maker = BatchMaker(run.training_set, cache, plan, model.config, recipe.augmentation, run.seed, unreadable)
    training = DetectorTraining(model, recipe, course.steps.stop, run.seed)
    workers = data_workers(recipe.workers, run.world.devices, has_gpu=torch.cuda.is_available())
    batches = batch_loader(maker, course.batch_numbers, workers)
    train(training, batches, course, reports, partial(_prepare, maker, reports, is_first=run.world.is_first))


def _prepare(maker: BatchMaker, reports: Reports, *, is_first: bool) -> None:
    """Read the cases ahead, as many as the cache keeps; one process compares some labels with their voxels."""
    numbers, cases = maker.plan.cases_in_use, maker.training_set.cases
    for done, number in enumerate(numbers):
        reports.stop.check()
        if maker.cache.has_room_for(number):
            reports.log.report(Stage.PREPARE, done, len(numbers))
            try:
                maker.cache.planes(number)
            except (SeriesError, GeometryError) as error:
                maker.unreadable.add(number, cases[number].name, error)
    if is_first:
        for warning in label_warnings(maker, reports.stop):
            logger.warning("%s", warning)
            reports.log.report(Stage.PREPARE, len(numbers), len(numbers), {"warning": warning})
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kernels = {"kernels": kernels_in_words(device, torch.float32)}  # training pools in single precision
    reports.log.report(Stage.PREPARE, len(numbers), len(numbers), kernels)
