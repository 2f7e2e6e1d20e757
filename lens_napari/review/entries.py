"""The lesions of a queue: the state of all of them, and everything about those that came on screen."""

from dataclasses import dataclass, replace

import numpy as np

from lens_engine.errors import LensError
from lens_engine.findings import Box3D, Decision, SliceBox, Verdict, slices_of_box
from lens_engine.store.candidates import CandidateRecord
from lens_engine.store.queue.outline import OPEN, VERDICTS, QueueOutline
from lens_napari.review.acts import SaveState
from lens_napari.review.box_table import BoxState

STATE_OF_VERDICT = {
    Verdict.ACCEPTED: BoxState.ACCEPTED,
    Verdict.ADJUSTED: BoxState.ACCEPTED,
    Verdict.ADDED: BoxState.ACCEPTED,
    Verdict.REJECTED: BoxState.REJECTED,
    Verdict.UNSURE: BoxState.UNSURE,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One lesion of the queue of which everything was read.

    Attributes
    ----------
    decision
        What holds now, own or inherited; None while the lesion is open.
    """

    record: CandidateRecord
    decision: Decision | None
    save_state: SaveState = SaveState.UNTOUCHED

    @property
    def verdict(self) -> Verdict | None:
        """The verdict that holds."""
        return self.decision.verdict if self.decision else None

    @property
    def state(self) -> BoxState:
        """How its box is drawn when it is not the one asked about."""
        return STATE_OF_VERDICT.get(self.decision.verdict, BoxState.PLAIN) if self.decision else BoxState.PLAIN

    @property
    def is_adjusted(self) -> bool:
        """Whether a reader has changed its box."""
        return self.decision is not None and self.decision.verdict is Verdict.ADJUSTED

    @property
    def slices(self) -> tuple[SliceBox, ...]:
        """Its cross-sections: as a reader has changed them, or as they were found."""
        if self.decision is not None and self.is_adjusted:
            return self.decision.slices or slices_of_box(self.decision.box)
        return self.record.candidate.finding.slices

    @property
    def box(self) -> Box3D:
        """Its box: as a reader has changed it, or as it was found."""
        if self.decision is not None and self.is_adjusted:
            return self.decision.box
        return self.record.candidate.finding.box


class Entries:
    """The lesions of a queue by position: the state of all of them, and those of which everything was read."""

    def __init__(self, outline: QueueOutline) -> None:
        self.outline = outline
        plain = np.full(len(outline), BoxState.PLAIN, dtype=np.int8)
        state_of = np.asarray([STATE_OF_VERDICT.get(verdict, BoxState.PLAIN) for verdict in VERDICTS], dtype=np.int8)
        self.states = np.where(outline.verdicts == OPEN, plain, state_of[outline.verdicts])
        """int8 (n,), the `BoxState` of each."""
        self.position_of = {int(candidate_id): i for i, candidate_id in enumerate(outline.ids)}
        self._read: dict[int, Entry] = {}
        self._noted: dict[int, Decision | None] = {}

    def __len__(self) -> int:
        return len(self.outline)

    def __contains__(self, position: object) -> bool:
        """Return whether everything about a lesion was read."""
        return position in self._read

    def __getitem__(self, position: int) -> Entry:
        """Return a lesion.

        Raises
        ------
        LensError
            If it was not read yet.
        """
        if position not in self._read:
            raise LensError(
                f"Lesion {self.outline.ids[position]} was not read yet",
                "A lesion whose series is on screen",
                "Wait until the scan is shown",
            )
        return self._read[position]

    def __setitem__(self, position: int, entry: Entry) -> None:
        self._read[position] = entry
        self.states[position] = entry.state

    def note(self, position: int, decision: Decision | None) -> None:
        """Take down what holds for a lesion of which something was said along with another, read or not.

        It is newer than what a scan brings that was read meanwhile.
        """
        verdict = None if decision is None else decision.verdict
        self.states[position] = BoxState.PLAIN if verdict is None else STATE_OF_VERDICT[verdict]
        if position in self._read:
            self._read[position] = replace(self._read[position], decision=decision, save_state=SaveState.SAVED)
        else:
            self._noted[position] = decision

    def learn(self, position: int, record: CandidateRecord) -> None:
        """Take in everything that is stored of a lesion; what was said here meanwhile stays."""
        if position in self._noted:
            self[position] = Entry(record, self._noted.pop(position), SaveState.SAVED)
        elif position not in self._read or self._read[position].save_state is SaveState.UNTOUCHED:
            self[position] = Entry(record, record.decision.decision if record.decision else None)

    def read(self) -> tuple[Entry, ...]:
        """Return the lesions that were read, in the order of the queue."""
        return tuple(self._read[position] for position in sorted(self._read))
