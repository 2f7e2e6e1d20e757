"""What can go wrong while training, beyond the errors of the engine."""

from lens_engine.errors import LensError


class DatasetError(LensError):
    """A folder does not hold the data set that it should hold."""


class TrainingError(LensError):
    """The training cannot go on."""


class TrainingInterruptedError(TrainingError):
    """Something outside the training has ended it; put right, it can go on from its last checkpoint."""


class TrainingStoppedError(LensError):
    """Somebody asked the training to stop; what was learnt is in the last checkpoint."""


class EndedElsewhereError(TrainingStoppedError):
    """The run of several processes has ended for a reason that the first one tells."""
