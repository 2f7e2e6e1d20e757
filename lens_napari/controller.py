"""Joins session, view, panels and store: what happens when a key is pressed, a scan arrives, a decision is on disk.

The GUI thread only draws. Decisions are committed in order in a lane of their own; what nobody waits for yet is read in
another.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import napari
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QApplication

from lens_engine.findings import Box3D, ReasonCode, Split, Verdict, box_from_slices, middle_section
from lens_engine.store.candidates import CandidateRecord
from lens_engine.store.catalog import SeriesRecord
from lens_engine.store.decisions import Committed, SettledError
from lens_engine.store.exchange.ingest import AddReport
from lens_engine.store.queue.outline import QueueOutline
from lens_napari.adding_controller import AddingController
from lens_napari.boxes_controller import BoxesController
from lens_napari.completeness_controller import CompletenessController
from lens_napari.editing.draft import Slices
from lens_napari.editing.wording import ANOTHER_LESION, NO_BOX
from lens_napari.jobs_controller import JobsController
from lens_napari.next_step_controller import NextStepController
from lens_napari.offers import refuse_offers, take_offers
from lens_napari.overview.overview import Overview
from lens_napari.panels.lesion import LesionPanel
from lens_napari.panels.worklist import WorklistPanel
from lens_napari.review.acts import SaveState
from lens_napari.review.box_table import CANDIDATES, BoxTable, Shown
from lens_napari.review.cards import Presence, box_table, drawn_findings, lesion_card
from lens_napari.review.next_step import Action
from lens_napari.review.project_store import LoadedSeries, ProjectStore, ReviewedProject, message_of
from lens_napari.review.saying.kept import CLOSING_SECONDS, KeptFile, SaidAgain, said_again_words
from lens_napari.review.saying.said_line import SaidLine
from lens_napari.review.saying.unsaid import Unsaid
from lens_napari.review.saying.unsaid_file import unsaid_file
from lens_napari.review.session import ReviewSession, Write
from lens_napari.review.settings import ViewerSettings, save_settings, spoken
from lens_napari.review.wording import (
    DEMO_REMINDER,
    FIRST_OF_LIST,
    FIRST_SERIES,
    GOING_BACK,
    JUST_ARRIVED,
    LAST_OF_LIST,
    LAST_SERIES,
    LOADING_AGAIN,
    NO_REJECTION,
    NO_SUCH_TYPE,
    NOTHING_ASKED,
    NOTHING_TO_REDO,
    NOTHING_TO_UNDO,
    STILL_LOADING,
    STILL_READING,
    WAS_LOADING,
    brought_back,
    reason_changed,
    reason_heading,
    reason_noted,
    scans_refused,
    settled_meanwhile,
)
from lens_napari.review.worklist.filters import Listed, WorklistFilter
from lens_napari.saying.axes_controller import AxesController
from lens_napari.saying.remarks_controller import RemarksController
from lens_napari.sections.linked_planes import LinkedPlanes
from lens_napari.sections.partner_view import PartnerView
from lens_napari.truth.overlay import TruthOverlay
from lens_napari.viewer.background import CommitLane, Lane
from lens_napari.viewer.palette import expert_colours
from lens_napari.viewer.series_view import Drawing, SeriesView

REACTION_MS = 250
"""A key that is pressed sooner after a lesion came on screen by itself was meant for what was there before."""
NO_SCANS_ON_PICTURE = "No scans in this project yet.\nDrop folders with CT scans here."


class ReviewController(QObject):  # type: ignore[misc]  # qtpy carries no types
    """The review of one project in one napari viewer.

    Parameters
    ----------
    viewer
        The napari viewer.
    store
        The opened project.
    settings, settings_path
        What this reader has chosen, and the file where changes are kept; None keeps nothing.
    start_worker
        Whether a worker may be started for jobs.
    """

    closing_seconds = CLOSING_SECONDS
    _news = ""
    """What is said once more when the first lesion comes on screen, which may take a while."""
    closing = Signal()
    """Before anything is taken apart."""
    closed = Signal()
    confirmed = Signal(object)
    """The `SaidLine` of the last verdict, when it was given and when it is on disk."""
    standard_arrangement = Signal()
    """The reader wants every panel where it belongs."""
    tour_wanted = Signal()
    """The reader wants the tour, or its next step."""
    tour_left = Signal()

    def __init__(
        self,
        viewer: Any,
        store: ProjectStore,
        settings: ViewerSettings,
        settings_path: Path | None,
        *,
        start_worker: bool,
    ) -> None:
        super().__init__()
        self.viewer = viewer
        self.settings = settings
        self._settings_path = settings_path
        self._store = store
        self._colours = expert_colours(store.experts())
        self._commits = CommitLane()
        self._ahead = Lane("ahead")
        self._acts = count(1)
        self._unsaid = Unsaid()
        self._confirmed: int | None = None
        self._series: dict[int, SeriesRecord] = {}
        self.session = self._new_session(QueueOutline.empty(), frozenset())
        self._lesion_types: tuple[str, ...] = ()
        self._model_version: str | None = None
        self._table: BoxTable | None = None
        self._arrived_at: int | None = None
        self._is_elsewhere = False
        self._asked_split: Split | None = Split.TRAIN
        self._is_closed = False
        self._was_opened = False
        self._is_returning = False
        self._was_too_early = False
        self._coming = QTimer(self)
        self._coming.setSingleShot(True)
        self._coming.setInterval(REACTION_MS)
        self._coming.timeout.connect(self._refresh)

        self.view = SeriesView(viewer, self._colours, self._read_series, self._ahead)
        self.planes = LinkedPlanes(self.view)
        legend_colours = {group: self.view.layers.colour_of(group) for group in self.view.layers.groups}
        self.worklist = WorklistPanel(legend_colours, settings)
        self.worklist.filters.hide_scores(settings.scores_hidden)
        self.lesion_panel = LesionPanel(settings.keys, scores_hidden=settings.scores_hidden)
        self.boxes = BoxesController(viewer, self.view, store, self._commits, settings, self._acts)
        self.lesion_panel.add_below(self.boxes.panel)
        unsaid = unsaid_file(store.project.folder, settings.reader)
        comment_box = self.lesion_panel.comment_box
        self.remarks = RemarksController(
            comment_box, self._unsaid, lambda: self.session, self.boxes, self._commits, unsaid
        )
        self.axes = AxesController(self.remarks, self.boxes, lambda: self.session, self.view, comment_box)
        self.partner = PartnerView(self.view, self.lesion_panel.pictures, store.partner_of)
        self.overview = Overview(self.view, self._number_of)
        self.truth = TruthOverlay(
            store.truth_of, self._commits, spoken(settings.keys.compare), lambda: self.worklist.legend.shown
        )
        self.worklist.legend.add_below(self.truth.panel)
        self.completeness = CompletenessController(store, self._commits, self.worklist.series_box)
        self.jobs = JobsController(store, self._commits, start_worker=start_worker)
        self.jobs_panel, self.models_panel = self.jobs.jobs_panel, self.jobs.models_panel
        self.retrain_panel = self.jobs.retrain_panel
        self.adding = AddingController(store)
        self.next_steps = NextStepController(store, self.jobs, self._ahead)
        self._connect()

    @property
    def current(self) -> CandidateRecord | None:
        """The lesion asked about; None when nothing is left, or until the queue or its series is read."""
        return self.session.current

    @property
    def is_asking(self) -> bool:
        """Whether there is a lesion to ask about, its series read or not."""
        return self.session.position is not None

    @property
    def is_ready(self) -> bool:
        """Whether the lesion asked about is on screen; only then a verdict key acts."""
        return self.current is not None and self._arrived_at == self.current.id and not self._coming.isActive()

    @property
    def is_open(self) -> bool:
        """Whether the queue has been read."""
        return self._was_opened

    @property
    def _kept(self) -> KeptFile:
        return KeptFile(self._store.project.folder, self.settings.reader)

    @property
    def is_saved(self) -> bool:
        """Whether every decision is on disk."""
        return self.session.pending == 0 and self._commits.waiting == 0

    @property
    def series(self) -> Mapping[int, SeriesRecord]:
        """Every series of the project with images, by id."""
        return self._series

    @property
    def shown_series(self) -> SeriesRecord | None:
        """The series on screen."""
        return self.view.loaded.record if self.view.loaded else None

    def open(self) -> None:
        """Read the queue in the background and show the first lesion."""
        self.remarks.open()
        self._commits.submit(partial(self._kept.say_again, self._store.write_kept), self._on_said_again, self._on_error)
        self.reload()
        self.jobs.start()
        self.next_steps.refresh()
        take_offers(self._take_opened)

    def close(self) -> None:
        """Write everything that waits, keep what no database takes within a time, and end all threads."""
        if not self._is_closed:
            self._is_closed = True
            self.closing.emit()
            self._coming.stop()
            self.remarks.close()
            refuse_offers(self._take_opened)
            self.adding.close()
            self.jobs.close()
            self.boxes.close()
            self.planes.close()
            self.overview.close()
            self.partner.close()
            self.view.close()
            self._ahead.close(finish=False)
            self._commits.close_within(self.closing_seconds)
            self._kept.keep(self._commits.unsaved)
            self._store.close()
            self.closed.emit()

    def give_verdict(self, verdict: Verdict) -> None:
        """Decide about the lesion on screen and move on; one that cannot be seen is brought back instead."""
        self._say(verdict, None)

    def give_type(self, lesion_type: str) -> None:
        """Accept the lesion on screen as one of a type and move on; one that cannot be seen is brought back instead."""
        self._say(Verdict.ACCEPTED, lesion_type)

    def give_numbered_type(self, number: int) -> None:
        """Accept the lesion on screen as one of a type by its number, where there is such a type."""
        if number < len(self._lesion_types):
            self.give_type(self._lesion_types[number])
        else:
            self._tell(NO_SUCH_TYPE)

    def give_reason(self, reason: ReasonCode) -> None:
        """Give the rejection that was just made its reason, or that of the lesion on screen; again takes it away."""
        if self.session.rejected_id is None or self.session.is_just_rejected:
            self._add_reason(reason, reason_noted)
        else:
            self._act_on_shown(partial(self._add_reason, reason, reason_changed))

    def undo(self) -> None:
        """Take back the last change of the box in work, or else the last axis, verdict or drawing, and return to it."""
        if not self.axes.undo() and not self.boxes.undo(self.session.undo_act):
            self._return_with(self.session.undo(), NOTHING_TO_UNDO)

    def redo(self) -> None:
        """Say again what was taken back."""
        if not self.boxes.redo(self.session.redo_act):
            self._return_with(self.session.redo(), NOTHING_TO_REDO)

    def go_next(self) -> None:
        """Show the next lesion without a verdict."""
        if not self.boxes.holds():
            self._move("" if self.session.go_next() else LAST_OF_LIST)

    def go_previous(self) -> None:
        """Show the previous lesion."""
        if not self.boxes.holds():
            self._move("" if self.session.go_previous() else FIRST_OF_LIST)

    def go_to_series(self, step: int) -> None:
        """Show the first lesion to review of the next series of the list (step 1), or of the one before (-1)."""
        if not self.boxes.holds():
            end = LAST_SERIES if step > 0 else FIRST_SERIES
            self._move("" if self.session.go_to_series(step) else end)

    def go_to(self) -> None:
        """Bring the lesion asked about into the picture again, large enough to judge."""
        self.view.automatic_zoom()
        self._move("")

    def change_box(self) -> None:
        """Take the box of the drawn lesion that is chosen into work, or that of the lesion asked about."""
        if self.boxes.draft is not None:
            self.boxes.is_away()
        elif self.boxes.chosen is not None:
            self.boxes.change_chosen()
        else:
            self._act_on_shown(self._change_asked)

    def draw_lesion(self) -> None:
        """Let the next drag draw the box of a lesion that nobody asked about."""
        self.worklist.legend.boxes[CANDIDATES].setChecked(True)
        self.boxes.draw()

    def keep_box(self) -> None:
        """Say that the box in work is a lesion."""
        if self.boxes.draft is None:
            self._tell(NO_BOX)
        else:
            self.give_verdict(Verdict.ACCEPTED)

    def move_ends(self, by_first: int, by_last: int) -> None:
        """Move the first and the last slice of the box; one that was not in work yet is from then on."""
        if self.boxes.draft is None:
            self.change_box()
        self.boxes.move_ends(by_first, by_last)

    def reload(self) -> None:
        """Read the queue again, for example after mining."""
        self._commits.submit(
            partial(self._store.reviewed, self.settings.reader, self._asked_split), self._on_project, self._on_error
        )

    def show_series(self, series_id: int) -> None:
        """Look at any series, outside the review; J, K or G come back."""
        self._tell("")
        self._arrived_at = None
        self._is_elsewhere = True
        self._is_returning = False
        self._load(series_id)
        self._refresh()

    def show_current(self) -> None:
        """Show the lesion asked about, loading its scan first where needed."""
        wanted, current, shown = self.session.asked_series, self.current, self.shown_series
        self._is_elsewhere = False
        if wanted is None:
            self._arrived_at = None
        elif current is not None and shown is not None and shown.id == wanted:
            self.view.stay()
            if self._arrived_at != current.id:
                self._arrive(current)
        else:
            self._arrived_at = None
            self._load(wanted)
        self._refresh()

    def keep_sections(self, are_shown: bool) -> None:  # a Qt signal's argument
        """Remember whether this reader wants coronal and sagittal sections."""
        self._keep(self.settings.model_copy(update={"sections_shown": are_shown}))

    def keep_tour_seen(self) -> None:
        """Remember that this reader has seen the tour."""
        if not self.settings.tour_seen:
            self._keep(self.settings.model_copy(update={"tour_seen": True}))

    # -- saying -------------------------------------------------------------------------------------------------------

    def _say(self, verdict: Verdict, lesion_type: str | None) -> None:
        """Let a verdict act on the drawn lesion that it is about, or else on the lesion asked about."""
        if self.boxes.takes(verdict, lesion_type):
            return
        adjusted = self.boxes.adjusted_lesion
        if adjusted is not None and (self.current is None or self.current.id != adjusted):
            self.session.go_to(adjusted)
            self._reveal()
            self._tell(ANOTHER_LESION)
            return
        self._act_on_shown(partial(self._decide, verdict, lesion_type))

    def _decide(self, verdict: Verdict, lesion_type: str | None) -> None:
        changed = self.boxes.changed_box()
        self.boxes.let_go()
        self.boxes.drawn.forget_taken_back()
        self.lesion_panel.show_message("")
        if changed is not None:
            self._send(self.session.adjust(changed, lesion_type))
        elif lesion_type is not None:
            self._send(self.session.accept_as(lesion_type))
        else:
            self._send(self.session.decide(verdict))
        self.show_current()

    def _add_reason(self, reason: ReasonCode, in_words: Callable[[ReasonCode | None], str]) -> None:
        write = self.session.add_reason(reason)
        self._tell(NO_REJECTION if write is None else in_words(write.decision.reason_code))
        if write is not None:
            self.boxes.drawn.forget_taken_back()
        self._send(write)
        self._refresh()

    def _say_remark(self, write: Write) -> None:
        self.boxes.drawn.forget_taken_back()
        self._send(write)

    def _change_asked(self) -> None:
        entry = self.session.current_entry
        if entry is not None:
            self.boxes.change_asked(entry.record.id, entry.slices)

    def _act_on_shown(self, act: Callable[[], None]) -> None:
        """Let a key act where the reader sees the lesion; where not, bring it on screen and tell him."""
        obstacle = self._obstacle()
        self._tell(obstacle or "")
        self._was_too_early = obstacle in (STILL_LOADING, GOING_BACK, LOADING_AGAIN)
        if obstacle is None:
            act()
        elif not self._coming.isActive():
            self._reveal()

    def _obstacle(self) -> str | None:
        """Return why no verdict can be given now, in words; None where the reader sees what he decides about."""
        entry = self.session.current_entry
        if not self.is_asking:
            return NOTHING_ASKED if self._was_opened else STILL_READING
        if entry is not None and self._arrived_at == entry.record.id:
            if self._coming.isActive():
                return JUST_ARRIVED
            unseen = self.view.why_unseen(self.boxes.slices_of(entry.record.id, entry.slices))
            return None if unseen is None else brought_back(unseen)
        if self._is_elsewhere:
            return GOING_BACK
        return STILL_LOADING if self.view.is_loading else LOADING_AGAIN

    def _return_with(self, write: Write | None, nothing: str) -> None:
        self._tell(nothing if write is None else "")
        self._send(write)
        self._reveal()

    def _move(self, notice: str) -> None:
        """Go where the reader wants to; what was said about the lesion that he leaves is no longer said."""
        self.lesion_panel.show_message("")
        self._was_too_early = False
        self._tell(notice)
        self._reveal()

    def _reveal(self) -> None:
        """Show the lesion asked about, wherever the picture has gone meanwhile."""
        self._is_returning = self._is_elsewhere
        self._arrived_at = None
        self.show_current()

    def _number_of(self, lesion: int) -> int | None:
        """Return the number of a lesion in the list; None for one that is not in it."""
        return self.session.number_of(lesion) if lesion in self.session else None

    def _tell(self, notice: str) -> None:
        self.lesion_panel.show_notice(notice)

    def automatic_window(self) -> None:
        """Let the region on screen choose the window again."""
        self.view.automatic_window(self.current.candidate.finding.box if self.current and self.is_ready else None)

    # -- reading ------------------------------------------------------------------------------------------------------

    def _on_project(self, project: ReviewedProject) -> None:
        if self.session.pending:  # said after the list was asked for, so that the list knows nothing of it
            self.reload()
            return
        if self.boxes.draft is not None:
            self.worklist.reload_button.show()
            return
        self.view.forget(DEMO_REMINDER if project.is_demo else "")
        self._model_version = project.model_version
        self._series = {record.id: record for record in project.series}
        self._lesion_types = project.lesion_types
        self.lesion_panel.show_types(project.lesion_types)
        self.session = self._new_session(project.queue, project.decided_today)
        self.worklist.filters.show_choices(project.queue.experts, self._series.values())
        self.session.narrow(self.worklist.filters.filter)
        self._confirmed = None
        self.partner.forget()
        self._table = None
        self._arrived_at = None
        self._was_opened = True
        self.worklist.reload_button.hide()
        self.worklist.series_box.show_series(project.series)
        if not project.series:
            self.view.texts.set("top_left", NO_SCANS_ON_PICTURE)
        self.show_current()
        if not self.is_asking and project.series:
            self._load(project.series[0].id)

    def _new_session(self, queue: QueueOutline, decided_today: frozenset[int]) -> ReviewSession:
        session = ReviewSession(
            queue, self.settings.reader, series=self._series, decided_today=decided_today, acts=self._acts
        )
        session.remarks.go_on_with(self._unsaid)
        session.scores_hidden = self.settings.scores_hidden
        return session

    def _load(self, series_id: int) -> None:
        self.view.load(series_id, self.session.model_version_of(series_id) or self._model_version)

    def _read_series(self, series_id: int, model_version: str | None) -> LoadedSeries:
        # Runs in a lane: a list that is read anew meanwhile asks for its series anew, too.
        return self._store.load(series_id, model_version, self.session.outline.mining_run)

    def _on_error(self, error: Exception) -> None:
        self.lesion_panel.show_message(message_of(error))

    # -- arriving and drawing -----------------------------------------------------------------------------------------

    def _on_series(self, loaded: LoadedSeries) -> None:
        """Go on in the series that has come on screen."""
        self.session.learn(loaded.candidates)
        self._table = box_table(self.view.layers.groups, loaded, self.session.entries)
        self.truth.show(loaded.record, drawn_findings(self.view.layers.groups, loaded))
        self.boxes.show(loaded)
        self.completeness.show(loaded.record)
        self.worklist.series_box.show_searched(loaded.is_searched)
        current = self.current
        if current is not None and current.candidate.series_id == loaded.record.id and not self._is_elsewhere:
            self._arrive(current)
            self._coming.start()
            self._tell(WAS_LOADING if self._was_too_early else self._news)
            self._news = ""
        else:
            self.view.go_to_middle(self._drawing(self._table, loaded.record))
        self._refresh()
        upcoming = self.session.upcoming_series()
        if upcoming is not None:
            self.view.read_ahead(upcoming)

    def _arrive(self, asked: CandidateRecord) -> None:
        entry = self.session.current_entry
        if entry is None or self.shown_series is None or self._table is None:
            return
        slices = self.boxes.slices_of(asked.id, entry.slices)
        self._show_place(slices, entry.box if slices is entry.slices else box_from_slices(slices))
        self._arrived_at = asked.id
        self._is_returning = False
        self._coming.stop()
        self.partner.show_for(asked)

    def _show_place(self, slices: Slices, box: Box3D) -> None:
        """Bring a place of the series on screen into the picture, and with it the boxes."""
        if self._table is not None and self.shown_series is not None:
            self.worklist.legend.boxes[CANDIDATES].setChecked(True)
            self.view.go_to(middle_section(slices), box, self._drawing(self._table, self.shown_series))

    def _drawing(self, table: BoxTable, record: SeriesRecord) -> Drawing:
        states = self.session.states_of_series(record.id) | self.boxes.states(record.id)
        entry = self.session.current_entry
        if entry is not None and entry.record.id in states and self.boxes.is_loud_in(record.id):
            states[entry.record.id] = entry.state
        changed = self.session.adjusted_of_series(record.id) | self.boxes.of_series(record.id)
        shown = self.worklist.legend.shown
        return Drawing(table, shown, states, changed, self.truth.compared(shown))

    def _draw(self) -> None:
        if self._table is not None and self.shown_series is not None:
            self.view.draw(self._drawing(self._table, self.shown_series))

    @property
    def _presence(self) -> Presence:
        if self.is_ready:
            return Presence.ON_SCREEN
        if self._is_elsewhere:
            return Presence.ELSEWHERE
        return Presence.RETURNING if self._is_returning else Presence.LOADING

    def _refresh(self) -> None:
        """Show in the panels what the session says."""
        self.remarks.show()
        self.axes.show()
        current, tally = self.current, self.session.tally()
        self.worklist.show_rows(self.session.rows(), tally)
        record = self._series.get(self.session.asked_series or 0)
        partner = self.partner.partner_of(current.id) if current else None
        card = lesion_card(self.session, record, self._colours, partner, presence=self._presence)
        if card is not None:
            self.lesion_panel.show_card(card)
        else:
            self.lesion_panel.show_summary(tally, self.next_steps.step(tally, self.session.filtered))
        self._show_reason()
        self.boxes.show_panel()
        self._draw()

    def _show_reason(self) -> None:
        rejected, about = self.session.rejected_id, ""
        if rejected is not None:
            number, is_just_rejected = self.session.number_of(rejected), self.session.is_just_rejected
            about = reason_heading(number, is_just_rejected=is_just_rejected)
        self.lesion_panel.reasons.show_reason(about, self.session.reason)

    # -- writing ------------------------------------------------------------------------------------------------------

    def _send(self, write: Write | None) -> None:
        if write is not None:
            self._commits.commit(
                write,
                partial(self._store.commit, write.decision, write.seen),
                partial(self._on_saved, self.session, write.ticket),
                partial(self._on_not_saved, self.session, write),
            )
            self._confirmed = write.decision.candidate_id
            self._confirm(self.session)

    def _confirm(self, session: ReviewSession) -> None:
        """Tell what was said last, and whether it is on disk."""
        if session is self.session and self._confirmed is not None:
            self.confirmed.emit(session.said_line(self._confirmed))

    def _confirm_drawn(self, line: SaidLine) -> None:
        """Tell what was drawn last, and whether it is on disk, unless a verdict came after it."""
        if line.save_state is SaveState.PENDING:
            self._confirmed = None
        if self._confirmed is None:
            self.confirmed.emit(line)

    def _on_saved(self, session: ReviewSession, ticket: int, committed: Committed) -> None:
        asked = session.asked_id
        if session.mark_saved(ticket) == self._confirmed:
            self._confirm(session)
        session.take_along(committed.along, may_move=not self._is_elsewhere and self._arrived_at != asked)
        if session is self.session and session.asked_id != asked:
            self.show_current()
            self._coming.start()
        self._refresh()
        if session.pending == 0:
            self.jobs.refresh_plan_in_pause()
            self.truth.refresh()

    def _on_not_saved(self, session: ReviewSession, write: Write, error: Exception) -> None:
        if isinstance(error, SettledError):
            session.mark_settled(write.ticket, error.counting.decision)
            self.lesion_panel.show_message(settled_meanwhile(write.decision, error.counting.decision))
        else:
            session.mark_failed(write.ticket)
            self.lesion_panel.show_message(f"Your verdict was not saved. {message_of(error)}")
        self._confirm(session)
        self._tell("")
        self._reveal()
        self._coming.start()

    def _on_said_again(self, again: SaidAgain) -> None:
        """Tell what became of decisions that a window before this one could not save."""
        words = said_again_words(again)
        if again.is_incomplete:
            self.lesion_panel.show_message(words)
        else:
            self._news = words
            self._tell(words)

    def _on_refused_scans(self, names: str) -> None:
        self.lesion_panel.show_message(scans_refused(names))
        self._refresh()

    # -- wiring -------------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        worklist, lesion = self.worklist, self.lesion_panel
        worklist.lesion_chosen.connect(self._choose_lesion)
        self.overview.lesion_chosen.connect(self._choose_lesion)
        worklist.filters.changed.connect(self._narrow)
        worklist.filters.typing_ended.connect(self._give_keys_back)
        worklist.series_box.series_chosen.connect(self.show_series)
        worklist.reload_requested.connect(self.reload)
        worklist.legend.changed.connect(self._on_shown)
        worklist.legend.changed.connect(lambda _: self.truth.show_lines())
        lesion.verdict_given.connect(self.give_verdict)
        lesion.type_given.connect(self.give_type)
        lesion.reason_given.connect(self.give_reason)
        lesion.undo_requested.connect(self.undo)
        lesion.next_requested.connect(self.go_next)
        lesion.previous_requested.connect(self.go_previous)
        lesion.go_to_requested.connect(self.go_to)
        lesion.scores_hidden_changed.connect(self._hide_scores)
        self._connect_boxes()
        self._connect_remarks()
        lesion.retrain_requested.connect(self.jobs.show_retrain)
        lesion.step_requested.connect(self._take_step)
        worklist.series_box.add_requested.connect(self.adding.choose)
        worklist.series_box.find_requested.connect(lambda: self._take_step(Action.FIND))
        worklist.series_box.reload_requested.connect(self._show_again)
        self.adding.panel.find_requested.connect(lambda: self._take_step(Action.FIND))
        self.adding.added.connect(self._on_added)
        self.next_steps.changed.connect(self._show_next_step)
        self.next_steps.searched.connect(self._look_for_boxes)
        self.next_steps.failed.connect(self._on_error)
        self.completeness.changed.connect(lambda _: self.jobs.refresh_plan())
        self.completeness.changed.connect(self.truth.mark)
        self.truth.changed.connect(self._draw)
        self.truth.told.connect(self.view.note)
        self.jobs.candidates_changed.connect(self._on_candidates_changed)
        self.partner.found.connect(self._refresh)
        self.view.arrived.connect(self._on_series)
        self.view.failed.connect(self._on_error)
        self.view.foreign.refused.connect(self._on_refused_scans)
        self.view.group_toggled.connect(worklist.legend.show_group)
        QApplication.instance().aboutToQuit.connect(self.close)

    def _connect_boxes(self) -> None:
        boxes = self.boxes
        boxes.changed.connect(self._refresh)
        boxes.moved.connect(self._draw)
        boxes.told.connect(self._tell)
        boxes.failed.connect(self.lesion_panel.show_message)
        boxes.acted.connect(lambda: self.session.forget_taken_back())
        boxes.confirmed.connect(self._confirm_drawn)
        boxes.saved.connect(self.jobs.refresh_plan_in_pause)
        boxes.saved.connect(self.truth.refresh)
        boxes.wanted.connect(self.show_series)
        boxes.out_of_sight.connect(lambda slices: self._show_place(slices, box_from_slices(slices)))
        boxes.panel.change_requested.connect(self.change_box)
        boxes.panel.keep_requested.connect(self.keep_box)

    def _connect_remarks(self) -> None:
        remarks = self.remarks
        remarks.said.connect(self._say_remark)
        remarks.told.connect(self._tell)
        remarks.failed.connect(self.lesion_panel.show_message)
        remarks.changed.connect(self._refresh)
        remarks.ended.connect(self._give_keys_back)
        self.axes.told.connect(self._tell)
        self.axes.changed.connect(self._refresh)

    def _on_shown(self, shown: Shown) -> None:
        kept = {
            "thresholds": dict(shown.thresholds),
            "shown_experts": tuple(group for group in shown.thresholds if group not in shown.hidden),
            "rest_is_dimmed": shown.rest_is_dimmed,
        }
        self._keep(self.settings.model_copy(update=kept))
        self._draw()

    def _hide_scores(self, hidden: bool) -> None:  # a Qt signal's argument
        self.session.scores_hidden = self.boxes.drawn.scores_hidden = hidden
        self.worklist.filters.hide_scores(hidden)
        self._keep(self.settings.model_copy(update={"scores_hidden": hidden}))
        self._refresh()

    def _keep(self, settings: ViewerSettings) -> None:
        self.settings = settings
        if self._settings_path is not None:
            self._commits.submit(partial(save_settings, settings, self._settings_path), lambda _: None, self._on_error)

    def _choose_lesion(self, candidate_id: int) -> None:
        if self.boxes.holds():
            self._refresh()
            return
        self.session.go_to(candidate_id)
        self._move("")

    def _ask_about_validation(self, wanted: bool) -> None:
        split = None if wanted else Split.TRAIN
        if split is not self._asked_split:
            self._asked_split = split
            self.reload()

    def _take_step(self, action: Action) -> None:
        """Do what a button of an empty state says."""
        steps = {
            Action.ADD_SCANS: self.adding.choose,
            Action.FIND: self.jobs_panel.detect_requested.emit,
            Action.MINE: self.jobs_panel.mine_requested.emit,
            Action.RETRAIN: self.jobs.show_retrain,
            Action.ANY_REASON: self.worklist.filters.take_off,
            Action.WITH_VALIDATION: partial(self.worklist.filters.list_as, Listed.WITH_VALIDATION),
        }
        steps[action]()

    def _show_next_step(self) -> None:
        is_searching = self.next_steps.is_searching
        for one in (self.worklist.series_box.find_button, self.adding.panel.find_button):
            one.setEnabled(not is_searching)
            one.setText("Looking for lesions …" if is_searching else Action.FIND.value)
        if not self.is_asking:
            self._refresh()

    def _take_opened(self, paths: Sequence[Path]) -> bool:
        """Take what is opened in this window through napari's own menus."""
        return napari.current_viewer() is self.viewer and self.adding.offer(paths)

    def _on_added(self, report: AddReport) -> None:
        """List the new scans; the review, and what was said in it, stays as it is."""
        self.next_steps.refresh()
        if self.session.tally().total == 0:
            self.reload()
            return
        self._series |= {record.id: record for record in report.added}
        self.worklist.series_box.show_series(self._series.values())
        if self.shown_series is not None:
            self.worklist.series_box.show_shown(self.shown_series)

    def _look_for_boxes(self) -> None:
        """See whether the scan on screen, which had no boxes, has been searched meanwhile."""
        loaded = self.view.loaded
        if loaded is not None and not loaded.is_searched:
            self._ahead.submit(
                partial(self._store.is_searched, loaded.record.id),
                lambda is_searched: self.worklist.series_box.show_found() if is_searched else None,
                self._on_error,
            )

    def _show_again(self) -> None:
        if self.shown_series is not None:
            self.show_series(self.shown_series.id)

    def _narrow(self, wanted: WorklistFilter) -> None:
        """Walk over what the reader wants to see; the picture stays where its lesion is still asked about."""
        before = self.session.asked_id
        self.session.narrow(wanted)
        self._ask_about_validation(wanted.listed is Listed.WITH_VALIDATION)
        if self.session.asked_id == before:
            self._refresh()
        else:
            self._move("")

    def _give_keys_back(self) -> None:
        self.viewer.window._qt_window.setFocus()

    def _on_candidates_changed(self) -> None:
        if self.session.tally().open == 0 and self.session.pending == 0:
            self.reload()
        else:
            self.worklist.reload_button.show()
