"""What can go wrong while training, beyond the errors of the engine."""

from lens_engine.errors import LensError


class TrainingError(LensError):
    """The training cannot go on."""


class TrainingStoppedError(LensError):
    """Somebody asked the training to stop; what was learnt is in the last checkpoint."""
