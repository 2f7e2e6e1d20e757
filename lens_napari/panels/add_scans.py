"""The add-scans dock: what is to be added, what is marked in it, who it is for, how far it is, what became of it."""

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QLineEdit, QPlainTextEdit, QVBoxLayout, QWidget

from lens_engine.store.catalog import DatasetRecord
from lens_napari.panels.parts import Panel, button, heading, label, progress_bar
from lens_napari.review.adding import (
    NEW_KIND,
    AddRequest,
    SplitChoice,
    breakable,
    dataset_of_kind,
    dataset_words,
    paths_words,
)
from lens_napari.viewer.palette import BAD, MUTED

LEAST_LETTERS = 20
ADVICE = (
    "DICOM folders, NIfTI, MetaImage, NRRD and DeepLesion PNG folders; they can also be dropped anywhere on this "
    "window. Nothing is copied: the scans stay where they are."
)


class AddScansPanel(Panel):
    """Asks what to add, and shows how it goes; it adds nothing itself."""

    folder_chosen = Signal(object)
    """Carries the `Path`."""
    add_requested = Signal(object)
    """Carries the `AddRequest`."""
    stop_requested = Signal()
    find_requested = Signal()

    def __init__(self, splits: Sequence[SplitChoice]) -> None:
        super().__init__("lens-add-scans")
        self._paths: tuple[Path, ...] = ()
        self._datasets: tuple[DatasetRecord, ...] = ()
        self.choose_button = button("Choose a folder …", "A folder with CT scans; folders inside it are searched too")
        self.message_label = label(style=f"color: {BAD}; font-weight: bold;")
        self.message_label.hide()
        self.choices_box, self.running_box, self.result_box = QWidget(), QWidget(), QWidget()
        self.column.addWidget(heading("Add scans"))
        self.column.addWidget(label(ADVICE, style=f"color: {MUTED};"))
        self.column.addWidget(self.choose_button)
        self.column.addWidget(self.message_label)
        for box in (self.choices_box, self.running_box):
            self.column.addWidget(box)
            box.hide()
        self.column.addWidget(self.result_box, 100)
        self.result_box.hide()
        self.column.addStretch(1)
        self._fill_choices(splits)
        self._fill_running()
        self._fill_result()
        self.choose_button.clicked.connect(lambda _: self.choose())

    @property
    def is_asking(self) -> bool:
        """Whether scans wait for the reader to say as what they are added."""
        return not self.choices_box.isHidden()

    def choose(self) -> None:
        """Let the reader choose a folder."""
        dialog = QFileDialog(self, "Folder with CT scans")
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.fileSelected.connect(lambda folder: self.folder_chosen.emit(Path(folder)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def ask(self, paths: Sequence[Path], datasets: Sequence[DatasetRecord]) -> None:
        """Ask as what these files and folders are to be added, together with those that are asked about already."""
        before = self._paths if self.is_asking else ()
        self._paths = tuple(dict.fromkeys((*before, *paths)))
        self._show_datasets(tuple(datasets))
        words = paths_words(self._paths)
        self.paths_label.setText(breakable(words))
        self.paths_label.setToolTip(words)
        self.result_box.hide()
        self.show_message("")
        self.choices_box.show()

    def show_running(self) -> None:
        """Show that scans are being added."""
        self.choices_box.hide()
        self.choose_button.setEnabled(False)
        self.stop_button.setEnabled(True)
        self.show_progress("Looking for files", 0, 0)
        self.running_box.show()

    def show_progress(self, what: str, done: int, total: int) -> None:
        """Show what is worked on, and how many of all files were read."""
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self.bar.setFormat("%v of %m files")
        self.progress_label.setText(breakable(what))
        self.progress_label.setToolTip(what)

    def show_result(self, headline: str, lines: Sequence[str], *, can_find: bool) -> None:
        """Show what became of the scans."""
        self.show_message("")
        self.result_label.setText(headline)
        self.result_list.setPlainText("\n".join(lines))
        self.result_list.setVisible(bool(lines))
        self.find_button.setVisible(can_find)
        self.result_box.show()

    def show_message(self, text: str) -> None:
        """Say why nothing was done; an empty text hides it."""
        self._end_running()
        self.message_label.setText(text)
        self.message_label.setVisible(bool(text))

    def show_notice(self, text: str) -> None:
        """Say something while scans are being added."""
        self.message_label.setText(text)
        self.message_label.show()

    def _end_running(self) -> None:
        self.running_box.hide()
        self.choose_button.setEnabled(True)

    def _show_datasets(self, datasets: tuple[DatasetRecord, ...]) -> None:
        if datasets != self._datasets:
            self._datasets = datasets
            self.dataset_box.clear()
            for record in datasets:
                self.dataset_box.addItem(dataset_words(record), record)
            self.dataset_box.addItem(NEW_KIND, None)
            self._on_dataset()

    def _fill_choices(self, splits: Sequence[SplitChoice]) -> None:
        column = QVBoxLayout(self.choices_box)
        column.setContentsMargins(0, 0, 0, 0)
        self.paths_label = label(style="font-weight: bold;")
        self.dataset_box, self.split_box = _choices(), _choices()
        self.kind_edit = QLineEdit()
        self.kind_edit.setPlaceholderText("which kind, for example: kidney")
        self.kind_edit.setMaxLength(60)
        for choice in splits:
            self.split_box.addItem(choice.name, choice)
        self.meaning_label = label(style=f"color: {MUTED};")
        self.add_button = button("Add to the project", "Read the scans and add every CT series among them")
        self.dismiss_button = button("Not now", "Add nothing")
        row = QHBoxLayout()
        row.addWidget(self.add_button)
        row.addWidget(self.dismiss_button)
        column.addWidget(self.paths_label)
        column.addWidget(label("What is marked in these scans?"))
        column.addWidget(self.dataset_box)
        column.addWidget(self.kind_edit)
        column.addWidget(label("What are the patients for? That never changes."))
        column.addWidget(self.split_box)
        column.addWidget(self.meaning_label)
        column.addLayout(row)
        self.dataset_box.currentIndexChanged.connect(lambda _: self._on_dataset())
        self.kind_edit.textChanged.connect(lambda _: self._on_dataset())
        self.split_box.currentIndexChanged.connect(lambda _: self._on_split())
        self._on_split()
        self.add_button.clicked.connect(lambda _: self._request())
        self.dismiss_button.clicked.connect(lambda _: self.choices_box.hide())

    def _fill_running(self) -> None:
        column = QVBoxLayout(self.running_box)
        column.setContentsMargins(0, 0, 0, 0)
        self.bar = progress_bar()
        self.progress_label = label()
        self.stop_button = button("Stop", "End adding; no scan is added in part")
        column.addWidget(self.bar)
        column.addWidget(self.progress_label)
        column.addWidget(self.stop_button)
        self.stop_button.clicked.connect(lambda _: self._stop())

    def _fill_result(self) -> None:
        column = QVBoxLayout(self.result_box)
        column.setContentsMargins(0, 0, 0, 0)
        self.result_label = label(style="font-weight: bold;")
        self.result_list = QPlainTextEdit()  # lays out only what is in sight, however long it is
        self.result_list.setReadOnly(True)
        self.find_button = button("Find lesions", "Let the detector look at every scan that it has not seen")
        column.addWidget(self.result_label)
        column.addWidget(self.result_list, 1)
        column.addWidget(self.find_button)
        self.find_button.clicked.connect(lambda _: self.find_requested.emit())

    def _on_dataset(self) -> None:
        is_new = self.dataset_box.currentData() is None
        self.kind_edit.setVisible(is_new)
        self.add_button.setEnabled(not is_new or bool(self.kind_edit.text().strip()))

    def _on_split(self) -> None:
        self.meaning_label.setText(self.split_box.currentData().meaning)

    def _request(self) -> None:
        dataset = self.dataset_box.currentData() or dataset_of_kind(self.kind_edit.text(), self._datasets)
        self.add_requested.emit(AddRequest(self._paths, dataset, self.split_box.currentData().split))

    def _stop(self) -> None:
        self.stop_button.setEnabled(False)
        self.progress_label.setText("Stopping after this file …")
        self.stop_requested.emit()


def _choices() -> QComboBox:
    box = QComboBox()
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(LEAST_LETTERS)
    return box
