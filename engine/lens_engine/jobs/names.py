"""Names that clients and workers of all releases must agree on."""

APPLICATION_NAME = "lens"
APPLICATION_VERSION = "lens-jobs-1"
"""Fixed by hand: DBOS would hash the source code and strand queued jobs after every upgrade. Raise it only when a
workflow's steps change so that an older, half-finished job could not go on."""

QUEUE_NAME = "lens-jobs"
PROGRESS_EVENT = "progress"
LOG_FILE = "log.txt"
EVENTS_FILE = "events.jsonl"
TRAINING_FOLDER = "training"
"""The folder inside the job's own one that a training writes to."""
MINED_FOLDER = "mined"
"""The folder inside the job's own one that holds what a mining has found, until all of it is stored."""
LAST_CHECKPOINT = "last.ckpt"
"""In the output folder of a training: what it goes on from when it was stopped or killed."""
TRAINING_STAGES = {
    "prepare": "Reading scans",
    "train": "Training",
    "detect": "Detecting in the training scans",
    "embed": "Describing lesions and boxes for the comparison",
    "mine": "Mining",
    "evaluate": "Measuring",
    "save": "Saving the model",
}
"""What a training says that it is doing, and what that is called for people."""
TRAINING_ERROR_FILE = "error.json"
"""A training that failed leaves it in its output folder, if there is one, with the parts `happened`, `expected` and
`remedy`, and whether it `can_go_on` from its last checkpoint once that is done."""
