"""Joins session, view, panels and store: what happens when a key is pressed, a scan arrives, a decision is on disk.

The GUI thread only draws. Decisions are committed in order in a lane of their own; what nobody waits for yet is read in
another.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QApplication

from lens_engine.findings import ReasonCode, Rule, Split, Verdict
from lens_engine.store.candidates import CandidateRecord
from lens_engine.store.catalog import SeriesRecord
from lens_engine.store.decisions import DecisionRecord
from lens_napari.completeness_controller import CompletenessController
from lens_napari.jobs_controller import JobsController
from lens_napari.panels.lesion import LesionPanel
from lens_napari.panels.worklist import WorklistPanel
from lens_napari.review.box_table import BoxTable, Shown
from lens_napari.review.cards import KnownRows, Presence, box_table, lesion_card, worklist_rows
from lens_napari.review.project_store import LoadedSeries, ProjectStore, ReviewedProject, ThenAndNow, message_of
from lens_napari.review.session import ReviewSession, Write
from lens_napari.review.settings import ViewerSettings, save_settings
from lens_napari.review.thumbnails import middle_section
from lens_napari.review.wording import DEMO_REMINDER, what_next
from lens_napari.viewer.background import Lane
from lens_napari.viewer.palette import expert_colours
from lens_napari.viewer.series_view import Drawing, SeriesView


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

    closed = Signal()

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
        self._commits = Lane("commits")
        self._ahead = Lane("ahead")
        self.session = self._new_session(())
        self._series: dict[int, SeriesRecord] = {}
        self._lesion_types: tuple[str, ...] = ()
        self._model_version: str | None = None
        self._table: BoxTable | None = None
        self._arrived_at: int | None = None
        self._is_elsewhere = False
        self._asked_split: Split | None = Split.TRAIN
        self._partner: ThenAndNow | None = None
        self._known_rows: KnownRows = {}
        self._is_closed = False
        self._was_opened = False

        self.view = SeriesView(viewer, self._colours, store.load, self._ahead)
        legend_colours = {group: self.view.layers.colour_of(group) for group in self.view.layers.groups}
        self.worklist = WorklistPanel(legend_colours, settings.thresholds, settings.keys.complete)
        self.lesion_panel = LesionPanel(settings.keys, scores_hidden=settings.scores_hidden)
        self.completeness = CompletenessController(store, self._commits, self.worklist.series_box)
        self.jobs = JobsController(store, self._commits, start_worker=start_worker)
        self.jobs_panel, self.models_panel = self.jobs.jobs_panel, self.jobs.models_panel
        self.retrain_panel = self.jobs.retrain_panel
        self._connect()

    @property
    def current(self) -> CandidateRecord | None:
        """The lesion asked about; None when nothing is left or the queue is not read yet."""
        return self.session.current

    @property
    def is_ready(self) -> bool:
        """Whether the lesion asked about is on screen; only then a verdict key acts."""
        return self.current is not None and self._arrived_at == self.current.id

    @property
    def is_open(self) -> bool:
        """Whether the queue has been read."""
        return self._was_opened

    @property
    def is_saved(self) -> bool:
        """Whether every decision is on disk."""
        return self.session.pending == 0 and self._commits.waiting == 0

    @property
    def shown_series(self) -> SeriesRecord | None:
        """The series on screen."""
        return self.view.loaded.record if self.view.loaded else None

    def open(self) -> None:
        """Read the queue in the background and show the first lesion."""
        self.reload()
        self.jobs.start()

    def close(self) -> None:
        """Write everything that waits and end all threads."""
        if not self._is_closed:
            self._is_closed = True
            self.jobs.close()
            self.view.close()
            self._ahead.close(finish=False)
            self._commits.close(finish=True)
            self._store.close()
            self.closed.emit()

    def give_verdict(self, verdict: Verdict) -> None:
        """Decide about the lesion on screen and move on; nothing happens while a lesion is still loading."""
        if self.is_ready:
            self.lesion_panel.show_message("")
            self._send(self.session.decide(verdict))
            self.show_current()

    def give_type(self, lesion_type: str) -> None:
        """Accept the lesion on screen as one of a type and move on; nothing happens while a lesion is still loading."""
        if self.is_ready:
            self.lesion_panel.show_message("")
            self._send(self.session.accept_as(lesion_type))
            self.show_current()

    def give_numbered_type(self, number: int) -> None:
        """Accept the lesion on screen as one of a type by its number; nothing happens where there is no such type."""
        if number < len(self._lesion_types):
            self.give_type(self._lesion_types[number])

    def give_reason(self, reason: ReasonCode) -> None:
        """Add the reason to the rejection that was just made."""
        self._send(self.session.add_reason(reason))
        self._refresh()

    def undo(self) -> None:
        """Take back the last verdict and return to its lesion."""
        self._send(self.session.undo())
        self.show_current()

    def redo(self) -> None:
        """Say again what was taken back."""
        self._send(self.session.redo())
        self.show_current()

    def go_next(self) -> None:
        """Show the next lesion without a verdict."""
        self.session.go_next()
        self.show_current()

    def go_previous(self) -> None:
        """Show the previous lesion."""
        self.session.go_previous()
        self.show_current()

    def go_to(self) -> None:
        """Bring the lesion asked about to the middle of the picture again."""
        self._arrived_at = None
        self.view.automatic_zoom()
        self.show_current()

    def reload(self) -> None:
        """Read the queue again, for example after mining."""
        self._commits.submit(partial(self._store.reviewed, self._asked_split), self._on_project, self._on_error)

    def show_series(self, series_id: int) -> None:
        """Look at any series, outside the review; J, K or G come back."""
        self._arrived_at = None
        self._is_elsewhere = True
        self._load(series_id)
        self._refresh()

    def show_current(self) -> None:
        """Show the lesion asked about, loading its scan first where needed."""
        current, shown = self.current, self.shown_series
        self._is_elsewhere = False
        if current is None:
            self._arrived_at = None
        elif shown is not None and shown.id == current.candidate.series_id:
            self.view.stay()
            if self._arrived_at != current.id:
                self._arrive(current)
        else:
            self._arrived_at = None
            self._load(current.candidate.series_id)
        self._refresh()

    def automatic_window(self) -> None:
        """Let the region on screen choose the window again."""
        self.view.automatic_window(self.current.candidate.finding.box if self.current and self.is_ready else None)

    # -- reading ------------------------------------------------------------------------------------------------------

    def _on_project(self, project: ReviewedProject) -> None:
        self.view.forget(DEMO_REMINDER if project.is_demo else "")
        self._model_version = project.model_version
        self._series = {record.id: record for record in project.series}
        self._lesion_types = project.lesion_types
        self.lesion_panel.show_types(project.lesion_types)
        self.session = self._new_session(project.queue)
        self._known_rows = {}
        self._table = None
        self._arrived_at = None
        self._was_opened = True
        self.worklist.reload_button.hide()
        self.worklist.series_box.show_series(project.series)
        self.show_current()
        if self.current is None and project.series:
            self._load(project.series[0].id)

    def _new_session(self, records: Sequence[CandidateRecord]) -> ReviewSession:
        session = ReviewSession(records, self.settings.reader)
        session.scores_hidden = self.settings.scores_hidden
        return session

    def _load(self, series_id: int) -> None:
        asked = next((entry for entry in self.session.entries if entry.record.candidate.series_id == series_id), None)
        self.view.load(series_id, asked.record.model_version if asked else self._model_version)

    def _on_error(self, error: Exception) -> None:
        self.lesion_panel.show_message(message_of(error))

    # -- arriving and drawing -----------------------------------------------------------------------------------------

    def _on_series(self, loaded: LoadedSeries) -> None:
        """Go on in the series that has come on screen."""
        self._table = box_table(self.view.layers.groups, loaded, self.session.entries)
        self.completeness.show(loaded.record)
        current = self.current
        if current is not None and current.candidate.series_id == loaded.record.id and not self._is_elsewhere:
            self._arrive(current)
        else:
            self.view.go_to_middle(self._drawing(self._table, loaded.record))
        self._refresh()
        upcoming = self.session.upcoming_series()
        if upcoming is not None:
            self.view.read_ahead(upcoming)

    def _arrive(self, asked: CandidateRecord) -> None:
        shown = self.shown_series
        if shown is None or self._table is None:
            return
        finding = asked.candidate.finding
        self.view.go_to(middle_section(finding.slices), finding.box, self._drawing(self._table, shown))
        self._arrived_at = asked.id
        self._partner = None
        self.lesion_panel.show_thumbnails(None, None)
        self._ahead.submit(partial(self._partner_of, asked), self._on_partner, self._on_error)

    def _partner_of(self, asked: CandidateRecord) -> ThenAndNow | None:
        # Runs in the lane: nobody waits for partners of lesions that have gone by.
        return self._store.then_and_now(asked) if self._arrived_at == asked.id else None

    def _on_partner(self, partner: ThenAndNow | None) -> None:
        if partner is not None and self.current is not None and partner.candidate_id == self.current.id:
            self._partner = partner
            self.lesion_panel.show_thumbnails(partner.then, partner.now)
            self._refresh()

    def _drawing(self, table: BoxTable, record: SeriesRecord) -> Drawing:
        return Drawing(table, self.worklist.legend.shown, self.session.states_of_series(record.id))

    def _draw(self) -> None:
        if self._table is not None and self.shown_series is not None:
            self.view.draw(self._drawing(self._table, self.shown_series))

    @property
    def _presence(self) -> Presence:
        if self.is_ready:
            return Presence.ON_SCREEN
        return Presence.ELSEWHERE if self._is_elsewhere else Presence.LOADING

    def _refresh(self) -> None:
        """Show in the panels what the session says."""
        current = self.current
        rows = worklist_rows(self.session, self._series, self._known_rows)
        self.worklist.show_rows(rows, current.id if current else None, self.session.tally())
        record = self._series.get(current.candidate.series_id) if current else None
        partner = (
            self._partner.partner if self._partner and current and self._partner.candidate_id == current.id else None
        )
        card = lesion_card(self.session, record, self._colours, partner, presence=self._presence)
        if card is not None:
            self.lesion_panel.show_card(card)
        else:
            tally = self.session.tally()
            self.lesion_panel.show_summary(tally, what_next(tally.total), can_retrain=tally.total > 0)
        self._draw()

    # -- writing ------------------------------------------------------------------------------------------------------

    def _send(self, write: Write | None) -> None:
        if write is not None:
            self._commits.submit(
                partial(self._store.commit, write.decision),
                partial(self._on_saved, self.session, write.ticket),
                partial(self._on_not_saved, self.session, write.ticket),
            )

    def _on_saved(self, session: ReviewSession, ticket: int, _record: DecisionRecord) -> None:
        session.mark_saved(ticket)
        self._refresh()
        if session.pending == 0:
            self.jobs.refresh_plan()

    def _on_not_saved(self, session: ReviewSession, ticket: int, error: Exception) -> None:
        session.mark_failed(ticket)
        self.lesion_panel.show_message(f"Your verdict was not saved. {message_of(error)}")
        self.show_current()

    # -- wiring -------------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        worklist, lesion = self.worklist, self.lesion_panel
        worklist.lesion_chosen.connect(self._choose_lesion)
        worklist.rule_chosen.connect(self._choose_rule)
        worklist.series_box.series_chosen.connect(self.show_series)
        worklist.validation_wanted.connect(self._ask_about_validation)
        worklist.reload_requested.connect(self.reload)
        worklist.legend.changed.connect(self._on_shown)
        lesion.verdict_given.connect(self.give_verdict)
        lesion.type_given.connect(self.give_type)
        lesion.reason_given.connect(self.give_reason)
        lesion.undo_requested.connect(self.undo)
        lesion.next_requested.connect(self.go_next)
        lesion.previous_requested.connect(self.go_previous)
        lesion.go_to_requested.connect(self.go_to)
        lesion.scores_hidden_changed.connect(self._hide_scores)
        lesion.retrain_requested.connect(self.jobs.show_retrain)
        self.completeness.changed.connect(lambda _: self.jobs.refresh_plan())
        self.jobs.candidates_changed.connect(self._on_candidates_changed)
        self.view.arrived.connect(self._on_series)
        self.view.failed.connect(self._on_error)
        worklist.destroyed.connect(lambda _: self.close())
        QApplication.instance().aboutToQuit.connect(self.close)

    def _on_shown(self, shown: Shown) -> None:
        self._keep(self.settings.model_copy(update={"thresholds": dict(shown.thresholds)}))
        self._draw()

    def _hide_scores(self, hidden: bool) -> None:  # a Qt signal's argument
        self.session.scores_hidden = hidden
        self._keep(self.settings.model_copy(update={"scores_hidden": hidden}))
        self._refresh()

    def _keep(self, settings: ViewerSettings) -> None:
        self.settings = settings
        if self._settings_path is not None:
            self._commits.submit(partial(save_settings, settings, self._settings_path), lambda _: None, self._on_error)

    def _choose_lesion(self, candidate_id: int) -> None:
        self.session.go_to(candidate_id)
        self.show_current()

    def _ask_about_validation(self, wanted: bool) -> None:
        split = None if wanted else Split.TRAIN
        if split is not self._asked_split:
            self._asked_split = split
            self.reload()

    def _choose_rule(self, rule: Rule | None) -> None:
        self.session.only(rule)
        self.show_current()

    def _on_candidates_changed(self) -> None:
        if self.session.tally().open == 0 and self.session.pending == 0:
            self.reload()
        else:
            self.worklist.reload_button.show()
