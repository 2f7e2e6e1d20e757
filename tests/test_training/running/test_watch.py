import json
from pathlib import Path

import pytest
from support.training.training_runs import StoppingStream, train
from support.training.training_scenes import RECIPE, write_snapshot
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lens_engine.jobs.names import LAST_CHECKPOINT
from lens_training.errors import TrainingStoppedError
from lens_training.running.watch import EVENTS_FOLDER

RECIPE_WITH_EVENTS = RECIPE.with_length(steps=6).with_options({"tensorboard": True, "log_every": 2})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_snapshot(tmp_path)
    return tmp_path / "out"


def events_of(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder / EVENTS_FOLDER)).Reload()


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Return the values that TensorBoard shows, by name and step."""
    events = events_of(folder)
    return {name: {event.step: event.value for event in events.Scalars(name)} for name in events.Tags()["scalars"]}


def test_event_files_hold_what_the_progress_says(out: Path):
    stream = StoppingStream(step=0)
    train(out, RECIPE_WITH_EVENTS, stream)
    messages = [json.loads(line) for line in stream.getvalue().splitlines()]
    steps = {message["done"]: message for message in messages if message["stage"] == "train"}
    shown = scalars(out)
    assert set(shown) == {
        "loss",
        *(f"loss/{name}" for name in ("centre", "size", "classes", "boxes")),
        "learning rate",
        "images per second",
    }
    assert list(shown["loss"]) == [2, 4, 6] == list(steps)
    for step, message in steps.items():
        assert shown["loss"][step] == pytest.approx(message["loss"], abs=1e-4)
        assert shown["loss/centre"][step] == pytest.approx(message["centre"], abs=1e-4)
        assert shown["learning rate"][step] == pytest.approx(message["learning_rate"])
        assert shown["images per second"][step] > 0


def test_the_learning_rate_is_that_of_the_step_and_falls_where_the_recipe_says(out: Path):
    train(out, RECIPE_WITH_EVENTS.with_options({"log_every": 1}))
    rates = [scalars(out)["learning rate"][step] for step in range(1, 7)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5])


def test_a_resumed_run_goes_on_in_the_same_curves(out: Path):
    recipe = RECIPE_WITH_EVENTS.with_options({"log_every": 1})
    with pytest.raises(TrainingStoppedError):
        train(out, recipe, StoppingStream(step=3))
    at_step_3 = (out / LAST_CHECKPOINT).read_bytes()
    train(out, recipe, resume=True)
    assert list(scalars(out)["loss"]) == [1, 2, 3, 4, 5, 6]
    (out / LAST_CHECKPOINT).write_bytes(at_step_3)  # as if it had been killed before it could save the next one
    train(out, recipe, resume=True)
    assert [event.step for event in events_of(out).Scalars("loss")] == [1, 2, 3, 4, 5, 6]


def test_without_the_switch_there_are_no_event_files(out: Path):
    train(out, RECIPE)
    assert not (out / EVENTS_FOLDER).exists()
