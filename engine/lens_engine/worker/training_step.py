"""The training step: `lens_training` as a process of its own, followed line by line, and the new model version."""

import json
import sys
from pathlib import Path

from lens_engine.checkpoint_card import CARD_NAME
from lens_engine.errors import JobError
from lens_engine.jobs.inputs import TrainInputs
from lens_engine.jobs.names import LAST_CHECKPOINT, LOG_FILE, TRAINING_ERROR_FILE, TRAINING_FOLDER, TRAINING_STAGES
from lens_engine.store.catalog import Catalog
from lens_engine.store.labels.snapshots import Snapshots
from lens_engine.store.models.model_versions import Models
from lens_engine.worker.child_process import POLL_SECONDS, JobStoppedError
from lens_engine.worker.job import Job, JsonObject, Meter
from lens_engine.worker.memory_watch import MemoryStory
from lens_engine.worker.process import SupervisedProcess, unexpected_end

TRAINING_MODULE = "lens_training"
TRAINING_STAGE = "train"
SAVE_SECONDS = 8.0
"""How long a training that is told to stop may take to save its last checkpoint: a cancel holds within 10 s. One that
takes longer goes on from the checkpoint before."""


def train_model(job: Job, inputs: TrainInputs) -> JsonObject:
    """Run the training to its end and return the number of steps.

    Raises
    ------
    JobError
        If the process ended otherwise.
    JobStoppedError
        If the job has to stop; the process has saved its last checkpoint and is gone then.
    """
    job.take_device()
    command = _command(job, inputs)
    verb = "going on with" if "--resume" in command else "starting"
    job.log(f"{verb} the training on snapshot {inputs.snapshot_id} from model {inputs.parent_version}")
    _output(job).mkdir(parents=True, exist_ok=True)  # the training leaves its error where a folder is
    (_output(job) / TRAINING_ERROR_FILE).unlink(missing_ok=True)  # of an earlier run that this one goes on from
    process = SupervisedProcess(command, job.folder / LOG_FILE)
    try:
        return {"steps": _follow(job, process)}
    finally:
        process.kill_after(0.0)


def register_model(job: Job, inputs: TrainInputs) -> JsonObject:
    """Make the trained weights a version of the project; a second call finds the one that the first has made."""
    models = Models(job.database)
    parent = models.get(inputs.parent_version)
    version = models.register(_output(job), parent.version, inputs.snapshot_id).version
    if inputs.promote:
        models.promote(version)
    (_output(job) / LAST_CHECKPOINT).unlink(missing_ok=True)  # several times as large as the model
    job.log(f"registered model {version}")
    if parent.not_inherited:
        job.log(parent.not_inherited)
    return {"model_version": version}


def _output(job: Job) -> Path:
    return job.folder / TRAINING_FOLDER


def _command(job: Job, inputs: TrainInputs) -> list[str]:
    parent = Models(job.database).get(inputs.parent_version)
    output = _output(job)
    command = [
        *(sys.executable, "-m", "lens_engine.worker.end_with_parent", TRAINING_MODULE, "fit"),
        *("--snapshot", str(Snapshots(job.database).path(inputs.snapshot_id))),
        *("--init", "none" if inputs.from_scratch else str(parent.folder)),
        *("--out", str(output), "--seed", str(inputs.seed)),
    ]
    for name, folder in Catalog(job.database).root_folders().items():
        command += ["--root", f"{name}={folder}"]
    if inputs.steps is not None:
        command += ["--steps", str(inputs.steps)]
    if any((output / name).exists() for name in (LAST_CHECKPOINT, CARD_NAME)):
        command.append("--resume")
    return command


def _follow(job: Job, process: SupervisedProcess) -> int:
    meter = Meter(0)
    while True:
        if job.must_stop():
            process.terminate(SAVE_SECONDS)
            raise JobStoppedError
        line = process.next_line(POLL_SECONDS)
        if line is not None:
            _report(job, meter, line)
            continue
        exit_code = process.exit_code
        if exit_code == 0:
            return meter.done
        if exit_code is not None:
            raise _training_error(job, exit_code, process.memory)


def _report(job: Job, meter: Meter, line: str) -> None:
    """Publish one JSON line of the training; anything else that it prints goes to the log."""
    try:
        event = json.loads(line)
        stage, done, total = str(event["stage"]), int(event["done"]), int(event["total"])
    except (ValueError, KeyError, TypeError):
        job.log(line.rstrip())
        return
    if stage == TRAINING_STAGE:
        meter.total = total
        meter.catch_up(done)
    words = TRAINING_STAGES.get(stage, stage)
    if isinstance(event.get("loss"), int | float):
        words += f", loss {event['loss']:.3f}"
    job.publish(meter.progress(words), now=done >= total)


def _training_error(job: Job, exit_code: int, memory: MemoryStory) -> JobError:
    """Return the error of a training that failed: the one that it has left behind, or what its exit code says."""
    try:
        parts = json.loads((_output(job) / TRAINING_ERROR_FILE).read_text(encoding="utf-8"))
        going_on = f". Then go on with: lens jobs --resume {job.id}" if parts["can_go_on"] else ""
        return JobError(parts["happened"], parts["expected"], f"{parts['remedy']}{going_on}")
    except (OSError, ValueError, KeyError, TypeError):
        return unexpected_end(exit_code, memory)
