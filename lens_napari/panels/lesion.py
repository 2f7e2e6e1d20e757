"""The review dock: the lesion asked about, why, what the experts say, then and now, and the verdict buttons."""

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from lens_engine.findings import Verdict
from lens_engine.jobs.status import JobProgress
from lens_napari.panels.parts import Panel, ScoreBar, button, heading, label, line, progress_bar, scrolled
from lens_napari.review.acts import SaveState
from lens_napari.review.cards import ExpertScore, LesionCard, Presence
from lens_napari.review.next_step import OPENING, Action, NextStep
from lens_napari.review.session import Tally
from lens_napari.review.settings import HELP_KEY, KeySettings
from lens_napari.review.wording import HIDDEN_SCORE, REASON_TEXT, VERDICT_TEXT
from lens_napari.saying.comment_box import CommentBox
from lens_napari.saying.reason_buttons import ReasonButtons
from lens_napari.sections.partner_pictures import PartnerPictures
from lens_napari.viewer.palette import BAD, GOOD, MUTED, UNDECIDED

NOTICE_COLOUR = "#E6C15A"
LEAST_WIDTH, BODY_WIDTH = 344, 324
"""Least width of the panel, and of what is scrolled in it: room for a scroll bar beside it."""
GAP = 4
BAR_STEPS = 1000
TYPES_IN_A_ROW = 2
LETTERS_OF_TYPE = 16
"""Letters of a type that fit on its button beside the key; the tooltip has all of them."""
NOTHING_YET = Tally(total=0, open=0, accepted=0, rejected=0, unsure=0, decided_now=0, pending=0)
SAVE_TEXT = {
    SaveState.UNTOUCHED: "",
    SaveState.PENDING: "○ being saved",
    SaveState.SAVED: "● saved",
    SaveState.FAILED: "✕ not saved: please decide again",
    SaveState.SETTLED: "",
}


class LesionPanel(Panel):
    """Shows a `LesionCard` and emits what the reader says."""

    verdict_given = Signal(object)
    """Carries the `Verdict`."""
    type_given = Signal(str)
    """Carries the type of a lesion, which the lesion on screen is."""
    reason_given = Signal(object)
    """Carries the `ReasonCode`."""
    undo_requested = Signal()
    next_requested = Signal()
    previous_requested = Signal()
    go_to_requested = Signal()
    scores_hidden_changed = Signal(bool)
    retrain_requested = Signal()
    step_requested = Signal(object)
    """Carries the `Action`."""

    def __init__(self, keys: KeySettings, *, scores_hidden: bool) -> None:
        super().__init__("lens-lesion")
        self.setMinimumWidth(LEAST_WIDTH)
        self._type_keys = keys.lesion_types
        self.lesion_box = QWidget()
        self.summary_box = QWidget()
        self.summary_box.hide()
        self.message_label = label(style=f"color: {BAD}; font-weight: bold;")
        self.message_label.hide()
        self.notice_label = label(style=f"color: {NOTICE_COLOUR}; font-weight: bold;")
        self.notice_label.hide()
        self.comment_box = CommentBox(keys.comment)
        self.column.addWidget(self.message_label)
        self.column.addWidget(scrolled(self._make_body()), 1)
        self.column.addWidget(self.notice_label)  # below the buttons, which it must not move under the mouse
        self._fill_lesion_box(keys, scores_hidden=scores_hidden)
        self._fill_summary_box()
        self.show_summary(NOTHING_YET, OPENING)

    def add_below(self, widget: QWidget) -> None:
        """Put a widget below everything else, where it moves no verdict button."""
        self._body.insertWidget(self._body.count() - 1, widget)

    def show_message(self, text: str) -> None:
        """Show an error on top of the panel until the next one or an empty text."""
        self.message_label.setText(text)
        self.message_label.setVisible(bool(text))

    def show_notice(self, text: str) -> None:
        """Say what became of the last key or button, where it is not plain to see; an empty text hides it."""
        self.notice_label.setText(text)
        self.notice_label.setVisible(bool(text))

    def show_types(self, lesion_types: Sequence[str]) -> None:
        """Offer a button for each type of lesion that the project knows, those with a key first."""
        for one in self.type_buttons:
            one.deleteLater()
        self.type_buttons.clear()
        self.types_box.setVisible(bool(lesion_types))
        for number, lesion_type in enumerate(lesion_types):
            key = f" [{self._type_keys[number]}]" if number < len(self._type_keys) else ""
            name = _shortened(lesion_type, LETTERS_OF_TYPE)
            one = button(f"{name}{key}", f"This is a lesion, of the type {lesion_type}")
            one.clicked.connect(lambda _, said=lesion_type: self.type_given.emit(said))
            self._types.addWidget(one, *divmod(number, TYPES_IN_A_ROW))
            self.type_buttons.append(one)

    def show_card(self, card: LesionCard) -> None:
        """Show one lesion."""
        self.summary_box.hide()
        self.lesion_box.show()
        self.position_label.setText(card.position)
        self.headline_label.setText(card.headline)
        self.why_label.setText(card.why)
        self.size_label.setText(f"{card.size}   ·   {card.where}")
        self.pictures.comparison_label.setText(card.comparison)
        self._show_experts(card.experts, show_scores=card.show_scores)
        self._show_state(card)
        for one in (self.accept_button, self.reject_button, self.unsure_button, *self.type_buttons):
            one.setEnabled(card.presence is Presence.ON_SCREEN)

    def show_summary(self, tally: Tally, step: NextStep) -> None:
        """Show what was done and what makes sense now, instead of a lesion."""
        self.lesion_box.hide()
        self.summary_box.show()
        saving = f"{tally.pending} being saved …" if tally.pending else "Everything is saved."
        self.summary_heading.setText(step.headline)
        self.summary_label.setVisible(tally.total > 0)
        self.summary_undo_button.setVisible(tally.total > 0)
        self.summary_label.setText(
            f"{tally.accepted} lesions\n{tally.rejected} not a lesion\n{tally.unsure} unsure\n\n"
            f"{tally.decided_now} decided now, {tally.open} left of {tally.total}.\n{saving}"
        )
        self.what_next_label.setText(step.words)
        self._show_progress(step.progress)
        for action, one in self.step_buttons.items():
            one.setVisible(action in step.actions)
        self.go_retrain_button.setVisible(Action.RETRAIN in step.actions)

    def _show_progress(self, progress: JobProgress | None) -> None:
        self.search_bar.setVisible(progress is not None)
        if progress is not None:
            self.search_bar.setRange(0, BAR_STEPS if progress.total else 0)
            self.search_bar.setValue(round(progress.fraction * BAR_STEPS))
            self.search_bar.setFormat(f"{progress.done} of {progress.total}")

    def _make_body(self) -> QWidget:
        body = QWidget()
        body.setMinimumWidth(BODY_WIDTH)
        self._body = QVBoxLayout(body)
        self._body.setContentsMargins(0, 0, 0, 0)
        self._body.setSpacing(self.column.spacing())
        for widget in (self.lesion_box, self.summary_box, self.comment_box):
            self._body.addWidget(widget)
        self._body.addStretch(1)
        return body

    def _fill_lesion_box(self, keys: KeySettings, *, scores_hidden: bool) -> None:
        column = QVBoxLayout(self.lesion_box)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GAP)
        self.position_label = label(style=f"color: {MUTED};")
        self.headline_label = label(style="font-size: 14pt; font-weight: bold;", wrap=False)
        self.why_label = label(style="font-size: 11pt;")
        self.size_label = label()
        self.scores_box = QCheckBox("Hide scores until the verdict")
        self.scores_box.setChecked(scores_hidden)
        self.scores_box.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.scores_box.toggled.connect(self.scores_hidden_changed.emit)
        self.score_bars: dict[str, ScoreBar] = {}
        self._experts = QVBoxLayout()
        self._experts.setSpacing(1)
        for widget in (self.position_label, self.headline_label, self.why_label, self.size_label, line()):
            column.addWidget(widget)
        column.addLayout(self._experts)
        column.addWidget(self.scores_box)
        self.pictures = PartnerPictures()
        column.addWidget(self.pictures)
        column.addWidget(line())
        column.addLayout(self._make_verdict_buttons(keys))
        column.addWidget(self._make_types_box())
        self.reasons = ReasonButtons(keys)
        self.reasons.given.connect(self.reason_given)
        column.addWidget(self.reasons)
        column.addLayout(self._make_move_buttons(keys))
        self.state_label = label(style="font-size: 11pt;")
        column.addWidget(self.state_label)
        column.addWidget(label(_key_list(keys), style=f"color: {MUTED};", wrap=False))

    def _make_verdict_buttons(self, keys: KeySettings) -> QHBoxLayout:
        row = QHBoxLayout()
        self.accept_button = button(f"Lesion [{keys.accept}]", "This is a lesion")
        self.reject_button = button(f"Not a lesion [{keys.reject}]", "This is not a lesion")
        self.unsure_button = button(f"Unsure [{keys.unsure}]", "Neither learn nor unlearn this place")
        for one, verdict, colour in (
            (self.accept_button, Verdict.ACCEPTED, GOOD),
            (self.reject_button, Verdict.REJECTED, BAD),
            (self.unsure_button, Verdict.UNSURE, UNDECIDED),
        ):
            one.setStyleSheet(f"border: 2px solid {colour}; padding: 6px 1px; font-weight: bold;")
            one.clicked.connect(lambda _, said=verdict: self.verdict_given.emit(said))
            row.addWidget(one)
        return row

    def _make_types_box(self) -> QWidget:
        self.types_box = QWidget()
        column = QVBoxLayout(self.types_box)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(label("lesion, and of which type:", style=f"color: {MUTED};"))
        self._types = QGridLayout()
        column.addLayout(self._types)
        self.type_buttons: list[QPushButton] = []
        self.types_box.hide()
        return self.types_box

    def _make_move_buttons(self, keys: KeySettings) -> QHBoxLayout:
        row = QHBoxLayout()
        self.move_buttons: list[QPushButton] = []
        for text, tip, signal in (
            ("Undo", f"Take back the last verdict ({keys.undo})", self.undo_requested),
            (f"Back [{keys.previous_lesion}]", "Previous lesion", self.previous_requested),
            (f"Next [{keys.next_lesion}]", "Next lesion, without a verdict", self.next_requested),
            (f"Go to [{keys.go_to}]", "Bring the lesion to the middle", self.go_to_requested),
        ):
            one = button(text, tip)
            one.clicked.connect(lambda _, emit=signal.emit: emit())
            self.move_buttons.append(one)
            row.addWidget(one)
        return row

    def _fill_summary_box(self) -> None:
        column = QVBoxLayout(self.summary_box)
        self.summary_label = label(style="font-size: 12pt;")
        self.what_next_label = label(style="font-size: 11pt;")
        self.search_bar = progress_bar()
        self.step_buttons = {action: button(action.value) for action in Action if action is not Action.RETRAIN}
        for action, one in self.step_buttons.items():
            one.clicked.connect(lambda _, wanted=action: self.step_requested.emit(wanted))
        self.go_retrain_button = button("Retrain …", "Fine-tune the detector on these decisions")
        self.go_retrain_button.clicked.connect(lambda _: self.retrain_requested.emit())
        self.summary_undo_button = button("Undo the last verdict")
        self.summary_undo_button.clicked.connect(lambda _: self.undo_requested.emit())
        self.summary_heading = heading("Review done")
        for widget in (
            self.summary_heading,
            self.summary_label,
            self.what_next_label,
            self.search_bar,
            *self.step_buttons.values(),
            self.go_retrain_button,
            self.summary_undo_button,
        ):
            column.addWidget(widget)

    def _show_experts(self, experts: Sequence[ExpertScore], *, show_scores: bool) -> None:
        for row in experts:
            bar = self.score_bars.get(row.expert)
            if bar is None:
                bar = self.score_bars[row.expert] = ScoreBar(row.expert, row.colour)
                self._experts.addWidget(bar)
            text = "–" if row.score is None else f"{row.score:.2f}"
            bar.show_score(row.score if show_scores else None, text if show_scores else HIDDEN_SCORE)

    def _show_state(self, card: LesionCard) -> None:
        if card.presence is Presence.LOADING:
            self.state_label.setText("loading the scan …")
        elif card.presence is Presence.ELSEWHERE:
            self.state_label.setText("another series is on screen: press “Go to”")
        elif card.presence is Presence.RETURNING:
            self.state_label.setText("another series is still on screen: loading the scan of the lesion …")
        elif card.verdict is None:
            self.state_label.setText(SAVE_TEXT[card.save_state])
        else:
            origin = "decided before" if card.is_inherited else "decided"
            reason = REASON_TEXT[card.reason] if card.reason else ""
            said = ", ".join(filter(None, [VERDICT_TEXT[card.verdict], reason, card.lesion_type]))
            if card.save_state in (SaveState.UNTOUCHED, SaveState.SETTLED):
                origin = f"{origin} by {card.reader}"
            self.state_label.setText(f"{origin}: {said}   {SAVE_TEXT[card.save_state]}")


def _shortened(name: str, letters: int) -> str:
    return name if len(name) <= letters else f"{name[: letters - 1].rstrip()}…"


def _key_list(keys: KeySettings) -> str:
    return f"{HELP_KEY} all keys · wheel: slices · {keys.hide_boxes} hide boxes"
