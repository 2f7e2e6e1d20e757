"""Joins session, layers, panels and store: what happens when a key is pressed, a scan arrives, a decision is on disk.

The GUI thread only draws. Scans are read in one lane, the next one in another, decisions are committed in order in a
third. Answers that come too late are dropped by their generation number.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QApplication

from lens_engine.findings import ReasonCode, Rule, Verdict
from lens_engine.store.candidates import CandidateRecord
from lens_engine.store.catalog import SeriesRecord
from lens_engine.store.decisions import DecisionRecord
from lens_engine.window_presets import Preset, Window, preset_for
from lens_napari.jobs_controller import JobsController
from lens_napari.panels.lesion import LesionPanel
from lens_napari.panels.worklist import WorklistPanel
from lens_napari.review.box_table import BoxTable, Shown, resolve
from lens_napari.review.cards import KnownRows, Presence, box_table, lesion_card, worklist_rows
from lens_napari.review.project_store import LoadedSeries, ProjectStore, ThenAndNow, message_of
from lens_napari.review.session import ReviewSession, Write
from lens_napari.review.settings import KeySettings, ViewerSettings, save_settings
from lens_napari.review.thumbnails import middle_section
from lens_napari.review.window_choice import WindowChoice
from lens_napari.review.wording import DEMO_NOTICE, RESEARCH_NOTICE
from lens_napari.viewer.background import Lane
from lens_napari.viewer.display import MouseTools, PictureTexts, hu_at
from lens_napari.viewer.keys import KeyBindings
from lens_napari.viewer.layers import SeriesLayers, slice_on_screen
from lens_napari.viewer.palette import expert_colours

REDRAW_DELAY_MS = 40
FIELD_OF_VIEW_MM = 260.0
"""Least part of the slice that stays visible around a lesion on arrival, so that the reader knows where it is."""


class ReviewController(QObject):  # type: ignore[misc]  # qtpy carries no types
    """The review of one project in one napari viewer.

    Parameters
    ----------
    viewer
        The napari viewer.
    store
        The opened project.
    settings, settings_path
        Of this reader, and where changes are kept; None keeps nothing.
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
        self._images = Lane("images")
        self._prefetch = Lane("prefetch")
        self.session = self._new_session(())
        self._series: dict[int, SeriesRecord] = {}
        self._model_version: str | None = None
        self._notice = ""
        self._loaded: LoadedSeries | None = None
        self._table: BoxTable | None = None
        self._arrived_at: int | None = None
        self._is_elsewhere = False
        self._next_series: int | None = None
        self._generation = 0
        self._partner: ThenAndNow | None = None
        self._everything_hidden = False
        self._choice = WindowChoice()
        self._hu: int | None = None
        self._known_rows: KnownRows = {}
        self._is_closed = False
        self._was_opened = False

        self.keys = KeyBindings(self._actions(settings.keys))
        self.layers = SeriesLayers(viewer, self._colours, self.keys.bind)
        self.texts = PictureTexts(viewer)
        self._mouse = MouseTools(viewer, lambda: self.window, self._window_by_hand, self._show_hu)
        legend_colours = {group: self.layers.colour_of(group) for group in self.layers.groups}
        self.worklist = WorklistPanel(legend_colours, settings.thresholds)
        self.lesion_panel = LesionPanel(settings.keys, scores_hidden=settings.scores_hidden)
        self.jobs = JobsController(store, self._commits, start_worker=start_worker)
        self.jobs_panel, self.models_panel = self.jobs.jobs_panel, self.jobs.models_panel
        self.retrain_panel = self.jobs.retrain_panel
        self._redraw_later = QTimer(self)
        self._redraw_later.setSingleShot(True)
        self._redraw_later.setInterval(REDRAW_DELAY_MS)
        self._redraw_later.timeout.connect(self._draw)
        self._connect()
        self.keys.bind(viewer)

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
    def shown_series(self) -> SeriesRecord | None:
        """The series on screen."""
        return self._loaded.record if self._loaded else None

    @property
    def window(self) -> Window:
        """Grey values of the picture now."""
        if self.layers.image is None:
            return Preset.SOFT_TISSUE.value
        low, high = self.layers.image.contrast_limits
        return Window.from_limits(low, high)

    def open(self) -> None:
        """Read the queue in the background and show the first lesion."""
        self._commits.submit(self._read_project, self._on_project, self._on_error)
        self.jobs.start()

    def close(self) -> None:
        """Write everything that waits and end all threads."""
        if not self._is_closed:
            self._is_closed = True
            self._redraw_later.stop()
            self.jobs.close()
            self._images.close(finish=False)
            self._prefetch.close(finish=False)
            self._commits.close(finish=True)
            self._store.close()
            self.closed.emit()

    def wait_until(self, is_true: Callable[[], bool], timeout_seconds: float) -> bool:
        """Let the window live until something is true; for scripts. Return whether it became true."""
        deadline = time.monotonic() + timeout_seconds
        while not is_true() and time.monotonic() < deadline:
            QApplication.processEvents()
            time.sleep(0.005)
        return is_true()

    def wait_saved(self, timeout_seconds: float) -> bool:
        """Let the window live until every decision is on disk; return whether it is."""
        return self.wait_until(lambda: self.session.pending == 0 and self._commits.waiting == 0, timeout_seconds)

    def wait_ready(self, timeout_seconds: float) -> bool:
        """Let the window live until the lesion asked about is on screen, or nothing is left to ask."""
        return self.wait_until(
            lambda: self.is_open and (self.is_ready or (self.current is None and self._images.waiting == 0)),
            timeout_seconds,
        )

    def give_verdict(self, verdict: Verdict) -> None:
        """Decide about the lesion on screen and move on; nothing happens while a lesion is still loading."""
        if self.is_ready:
            self.lesion_panel.show_message("")
            self._send(self.session.decide(verdict))
            self.show_current()

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
        self.show_current()

    def toggle_boxes(self) -> None:
        """Hide all boxes, or show them again."""
        self._everything_hidden = not self._everything_hidden
        self._draw()

    def reload(self) -> None:
        """Read the queue again, for example after mining."""
        self._commits.submit(self._read_project, self._on_project, self._on_error)

    def show_series(self, series_id: int) -> None:
        """Look at any series, outside the review; J, K or G come back."""
        self._arrived_at = None
        self._is_elsewhere = True
        self._load(series_id)
        self._refresh()

    def show_current(self) -> None:
        """Show the lesion asked about, loading its scan first where needed."""
        current = self.current
        self._is_elsewhere = False
        if current is None:
            self._arrived_at = None
        elif self._loaded is not None and self._loaded.record.id == current.candidate.series_id:
            self._generation += 1  # whatever is being read is no longer wanted
            if self._arrived_at != current.id:
                self._arrive(current)
        else:
            self._arrived_at = None
            self._load(current.candidate.series_id)
        self._refresh()

    def set_window(self, window: Window) -> None:
        """Choose a window by hand; it sticks until it is made automatic again."""
        self._choice.by_hand()
        self.layers.set_window(window)

    def automatic_window(self) -> None:
        """Let the region choose the window again."""
        self._choice.reset()
        if self._loaded is not None:
            box = self.current.candidate.finding.box if self.current and self.is_ready else None
            region = preset_for(self._loaded.volume.voxels, box) if box else None
            arrival = self._choice.on_arrival(region) if region else self._loaded.window
            self.layers.set_window(arrival or self._loaded.window)

    # -- reading ------------------------------------------------------------------------------------------------------

    def _read_project(self) -> tuple[Sequence[CandidateRecord], Sequence[SeriesRecord], str | None, bool]:
        promoted = self._store.promoted()
        version = promoted.version if promoted else None
        return self._store.queue(), self._store.viewable_series(), version, bool(promoted and promoted.is_demo)

    def _on_project(self, answer: tuple[Sequence[CandidateRecord], Sequence[SeriesRecord], str | None, bool]) -> None:
        records, series, self._model_version, is_demo = answer
        self._notice = DEMO_NOTICE if is_demo else ""
        self._series = {record.id: record for record in series}
        self.session = self._new_session(records)
        self._known_rows = {}
        self._loaded = None
        self._arrived_at = None
        self._was_opened = True
        self.worklist.reload_button.hide()
        self.worklist.show_series([(record.id, record.name) for record in series])
        self.show_current()
        if self.current is None and series:
            self._load(series[0].id)

    def _new_session(self, records: Sequence[CandidateRecord]) -> ReviewSession:
        session = ReviewSession(records, self.settings.reader)
        session.scores_hidden = self.settings.scores_hidden
        return session

    def _load(self, series_id: int) -> None:
        self._generation += 1
        asked = next((entry for entry in self.session.entries if entry.record.candidate.series_id == series_id), None)
        version = asked.record.model_version if asked else self._model_version
        self._images.submit(
            partial(self._load_wanted, self._generation, series_id, version),
            partial(self._on_loaded, self._generation),
            partial(self._on_load_failed, self._generation),
        )

    def _load_wanted(self, generation: int, series_id: int, version: str | None) -> LoadedSeries | None:
        # Runs in the lane: a reader who has moved on does not wait for scans in between.
        return self._store.load(series_id, version) if generation == self._generation else None

    def _on_loaded(self, generation: int, loaded: LoadedSeries | None) -> None:
        if generation != self._generation or loaded is None:
            return
        window = self.window if self._choice.is_manual else loaded.window
        self._loaded = loaded
        self._table = box_table(self.layers.groups, loaded, self.session.entries)
        first_time = self.layers.image is None
        self.layers.show_volume(loaded.volume, loaded.record.name, window)
        if first_time:
            self.layers.image.events.contrast_limits.connect(self._show_window)
        self.worklist.show_shown_series(loaded.record.id)
        self.viewer.reset_view(margin=0.01)
        current = self.current
        is_wanted = current is not None and current.candidate.series_id == loaded.record.id
        if current is not None and is_wanted and not self._is_elsewhere:
            self._arrive(current)
        else:
            self.viewer.dims.set_current_step(0, loaded.volume.voxels.shape[0] // 2)
        self._show_window()
        self._draw()
        self._refresh()
        self._prefetch_next()

    def _on_load_failed(self, generation: int, error: Exception) -> None:
        if generation == self._generation:
            self._on_error(error)

    def _on_error(self, error: Exception) -> None:
        self.lesion_panel.show_message(message_of(error))

    def _prefetch_next(self) -> None:
        series_id = self.session.upcoming_series()
        if series_id is not None and series_id != self._next_series:
            self._next_series = series_id
            self._prefetch.submit(partial(self._store.load, series_id, None), lambda _: None, lambda _: None)

    # -- arriving and drawing -----------------------------------------------------------------------------------------

    def _arrive(self, asked: CandidateRecord) -> None:
        if self._loaded is None:
            return
        finding = asked.candidate.finding
        section = middle_section(finding.slices)
        geometry = self._loaded.volume.geometry
        window = self._choice.on_arrival(preset_for(self._loaded.volume.voxels, finding.box))
        if window is not None:
            self.layers.set_window(window)
        self.viewer.dims.set_current_step(0, section.slice_index)
        x1, y1, x2, y2 = section.box
        _, sy, sx = geometry.spacing_mm
        self._centre(((y1 + y2) / 2 - 0.5) * sy, ((x1 + x2) / 2 - 0.5) * sx)
        self._arrived_at = asked.id
        self._partner = None
        self.lesion_panel.show_thumbnails(None, None)
        self._prefetch.submit(partial(self._partner_of, asked), self._on_partner, self._on_error)
        self._draw()

    def _centre(self, y_mm: float, x_mm: float) -> None:
        camera = self.viewer.scene.camera
        extent = min(self.viewer.canvas.size) / camera.zoom  # what is visible now, in mm
        if extent < FIELD_OF_VIEW_MM:
            camera.center = (0.0, y_mm, x_mm)

    def _partner_of(self, asked: CandidateRecord) -> ThenAndNow | None:
        # Runs in the lane: nobody waits for partners of lesions that have gone by.
        return self._store.then_and_now(asked) if self._arrived_at == asked.id else None

    def _on_partner(self, partner: ThenAndNow | None) -> None:
        if partner is not None and self.current is not None and partner.candidate_id == self.current.id:
            self._partner = partner
            self.lesion_panel.show_thumbnails(partner.then, partner.now)
            self._refresh()

    def _draw(self) -> None:
        if self._loaded is None or self._table is None or self._is_closed:
            return
        slice_index = slice_on_screen(self.viewer, self._loaded.volume.geometry)
        shown = replace(self.worklist.legend.shown, everything_hidden=self._everything_hidden)
        states = self.session.states_of_series(self._loaded.record.id)
        rectangles = resolve(self._table, shown, slice_index, states)
        self.layers.draw(rectangles, slice_index, float(self.viewer.scene.camera.zoom))
        count = self._loaded.volume.voxels.shape[0]
        self.texts.set("bottom_right", f"slice {slice_index + 1} / {count}")

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
            self.lesion_panel.show_summary(tally, _what_next(tally.total), can_retrain=tally.total > 0)
        self._draw()
        self._show_label()

    def _show_label(self) -> None:
        if self._loaded is None:
            return
        record = self._loaded.record
        lines = [f"patient {record.patient_code}", record.name, record.description]
        self.texts.set("top_left", "\n".join(text for text in lines if text))
        # The empty last line keeps it above the letter and the slice number where the window is small.
        self.texts.set("bottom_left", "\n".join([*filter(None, (self._notice, RESEARCH_NOTICE)), " "]))

    def _show_window(self, _event: object = None) -> None:
        value = f"\n{self._hu} HU" if self._hu is not None else ""
        self.texts.set("top_right", f"{self.window}{value}")

    def _show_hu(self, position_mm: tuple[float, ...]) -> None:
        if self._loaded is not None:
            self._hu = hu_at(self._loaded.volume, position_mm)
            self._show_window()

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

    def _actions(self, keys: KeySettings) -> dict[str, Callable[[], None]]:
        return {
            keys.accept: partial(self.give_verdict, Verdict.ACCEPTED),
            keys.reject: partial(self.give_verdict, Verdict.REJECTED),
            keys.unsure: partial(self.give_verdict, Verdict.UNSURE),
            keys.next_lesion: self.go_next,
            keys.previous_lesion: self.go_previous,
            keys.go_to: self.go_to,
            keys.hide_boxes: self.toggle_boxes,
            keys.undo: self.undo,
            keys.redo: self.redo,
            keys.reason_vessel: partial(self.give_reason, ReasonCode.VESSEL),
            keys.reason_normal_node: partial(self.give_reason, ReasonCode.NORMAL_NODE),
            keys.reason_duplicate: partial(self.give_reason, ReasonCode.DUPLICATE),
            keys.reason_benign: partial(self.give_reason, ReasonCode.BENIGN),
            keys.window_soft_tissue: partial(self.set_window, Preset.SOFT_TISSUE.value),
            keys.window_lung: partial(self.set_window, Preset.LUNG.value),
            keys.window_liver: partial(self.set_window, Preset.LIVER.value),
            keys.window_bone: partial(self.set_window, Preset.BONE.value),
            keys.window_automatic: self.automatic_window,
        }

    def _connect(self) -> None:
        worklist, lesion = self.worklist, self.lesion_panel
        worklist.lesion_chosen.connect(self._choose_lesion)
        worklist.rule_chosen.connect(self._choose_rule)
        worklist.series_chosen.connect(self.show_series)
        worklist.reload_requested.connect(self.reload)
        worklist.legend.changed.connect(self._on_shown)
        lesion.verdict_given.connect(self.give_verdict)
        lesion.reason_given.connect(self.give_reason)
        lesion.undo_requested.connect(self.undo)
        lesion.redo_requested.connect(self.redo)
        lesion.next_requested.connect(self.go_next)
        lesion.previous_requested.connect(self.go_previous)
        lesion.go_to_requested.connect(self.go_to)
        lesion.scores_hidden_changed.connect(self._hide_scores)
        lesion.retrain_requested.connect(self.jobs.show_retrain)
        self.jobs.candidates_changed.connect(self._on_candidates_changed)
        self.viewer.dims.events.current_step.connect(self._on_slice)
        self.viewer.scene.camera.events.zoom.connect(self._on_zoom)
        worklist.destroyed.connect(lambda _: self.close())
        QApplication.instance().aboutToQuit.connect(self.close)

    def _on_slice(self, _event: object) -> None:
        self._draw()

    def _on_zoom(self, _event: object) -> None:
        if not self._is_closed:
            self._redraw_later.start()

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

    def _choose_rule(self, rule: Rule | None) -> None:
        self.session.only(rule)
        self.show_current()

    def _on_candidates_changed(self) -> None:
        if self.session.tally().open == 0 and self.session.pending == 0:
            self.reload()
        else:
            self.worklist.reload_button.show()

    def _window_by_hand(self, window: Window) -> None:
        self.set_window(window)


def _what_next(total: int) -> str:
    if total == 0:
        return "Run Detect and then Mine in the jobs panel; until then any series can be looked at."
    return "The detector can now learn from these decisions."
