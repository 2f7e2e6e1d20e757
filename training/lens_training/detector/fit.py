"""The training of a detector: prepares its cases, learns from the batches of its plan, and goes on where it stopped."""

from functools import partial

from lens_engine.detector.assembly import LensDetector
from lens_engine.jobs.names import LAST_CHECKPOINT
from lens_training.detector.batches import BatchMaker, batch_loader
from lens_training.detector.module import DetectorTraining
from lens_training.detector.planes import PlaneCache
from lens_training.detector.run import Run
from lens_training.detector.sampling import BatchPlan
from lens_training.running.allocator import keep_freed_memory
from lens_training.running.course import Course
from lens_training.running.last_checkpoint import steps_done, weights_of
from lens_training.running.progress import ProgressLog, Stage
from lens_training.running.runner import Reports, train
from lens_training.running.stopping import StopSignal

_GIB = 2**30


def fit(model: LensDetector, run: Run, log: ProgressLog, stop: StopSignal, *, resume: bool = False) -> int:
    """Train the model in place and return how many steps the whole run has.

    With several processes each of them calls this with the same arguments, and all get the same weights.

    Parameters
    ----------
    resume
        Go on at the step of `last.ckpt`; from the beginning where there is none.

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
    first_step = steps_done(last, run.full_fingerprint) if resume else 0
    course = Course(range(first_step, steps), run.folder, run.full_fingerprint, run.settings, run.world)
    if course.steps:
        _train(model, run, plan, course, Reports(log, stop))
    else:
        model.load_state_dict(weights_of(last, "model"))
    model.eval()
    return steps


def _train(model: LensDetector, run: Run, plan: BatchPlan, course: Course, reports: Reports) -> None:
    recipe = run.recipe
    cache = PlaneCache(run.training_set.cases, int(recipe.sampling.cache_gib * _GIB))
    maker = BatchMaker(run.training_set, cache, plan, model.config, recipe.augmentation, run.seed)
    training = DetectorTraining(model, recipe, course.steps.stop, run.seed)
    batches = batch_loader(maker, course.batch_numbers, recipe.workers)
    train(training, batches, course, reports, partial(_read_ahead, cache, plan, reports))


def _read_ahead(cache: PlaneCache, plan: BatchPlan, reports: Reports) -> None:
    """Read the cases ahead, as many as the cache keeps."""
    numbers = plan.cases_in_use
    for done, number in enumerate(numbers):
        reports.stop.check()
        if cache.has_room_for(number):
            reports.log.report(Stage.PREPARE, done, len(numbers))
            cache.planes(number)
    reports.log.report(Stage.PREPARE, len(numbers), len(numbers))
