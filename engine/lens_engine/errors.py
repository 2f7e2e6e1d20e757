"""Every error a user can cause or meet, each saying what happened, what was expected and what to do.

No message contains a patient name; identifiers of series are allowed because they are pseudonymous in a project.
"""


class LensError(Exception):
    """Base of all errors that are shown to a user without a stack trace.

    Parameters
    ----------
    happened
        What was found, with the value.
    expected
        What would have been right.
    remedy
        What the user can do now.
    """

    def __init__(self, happened: str, expected: str, remedy: str) -> None:
        self.happened, self.expected, self.remedy = _readable(happened), _readable(expected), _readable(remedy)
        super().__init__(self.happened, self.expected, self.remedy)

    def __str__(self) -> str:
        return " ".join(_as_sentence(part) for part in (self.happened, self.expected, self.remedy) if part)


class GeometryError(LensError):
    """A volume's axes, spacing or slices do not describe one regular axial grid."""


class BoxError(LensError):
    """Boxes of the wrong shape, order or extent."""


class SeriesError(LensError):
    """A scan cannot be read as one CT series."""


class AnnotationFileError(LensError):
    """An annotation file is broken, of another format, or does not fit the series of the project."""


class ProjectError(LensError):
    """A project folder or its settings cannot be used."""


class StoreError(LensError):
    """The project's database refused, is busy, or is of another schema."""


class ConfigError(LensError):
    """A detector configuration or recipe that cannot be built."""


class CheckpointError(LensError):
    """Weights that do not fit their card, or a card that does not fit the code."""


class JobError(LensError):
    """A background job could not be queued, run or resumed."""


class NoLocksError(JobError):
    """A file system does not lock files, so that no process can see what others are at."""


class ExportError(LensError):
    """Results cannot be written in the form that was asked for."""


class StoppedError(LensError):
    """Work that a person has ended before it was done."""


def _readable(text: str) -> str:
    """Return a text with a question mark for what is no letter: bytes of a file name, commands to a terminal."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


def _as_sentence(part: str) -> str:
    part = part.strip()
    return part if part.endswith((".", "!", "?", ":")) else f"{part}."
