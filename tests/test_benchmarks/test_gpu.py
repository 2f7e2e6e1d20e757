from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import gpu, gpu_training
from benchmarks.detector.subjects import EXPERTS
from lens_engine.detector.config import narrow_lens
from lens_engine.volume import Volume
from lens_training.running.schedule import TrainingPrecision

TINY = ["--device", "cpu", "--size", "narrow", "--side", "64"]
NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def test_the_speed_of_inference_is_measured_where_there_is_no_gpu(capsys):
    options = gpu.options_of([*TINY, "--slices", "2", "--repeats", "1"])
    results = gpu.measure(options, gpu.device_of(options.device))
    assert "published, 4 experts" in capsys.readouterr().out
    rows = [(row["experts"], row["precision"]) for row in results["speeds"]]
    assert rows == [(1, "bf16"), (1, "fp32"), (4, "bf16"), (4, "fp32")]
    assert all(row["floor_ms"] > 0 and row["giga_macs"] > 0 for row in results["speeds"])


def test_the_speed_of_training_is_measured_where_there_is_no_gpu(capsys):
    sizes = ["--batch", "1", "--steps", "1", "--scans", "1", "--slices", "12", "--workers", "2"]
    options = gpu_training.options_of([*TINY, *sizes])
    results = gpu_training.measure(options, gpu.device_of(options.device))
    assert "goal: 40% of the rate" in capsys.readouterr().out
    rows = [(row["precision"], row["batch"]) for row in results["steps"]]
    assert rows == [("bf16-mixed", 1), ("32-true", 1)]
    assert all(row["images_per_second"] > 0 and row["share_of_rate"] > 0 for row in results["steps"])
    fed = results["fed"]
    assert (fed["source"], fed["workers"], fed["steps"]) == ("1 x 6 scans of up to 12 slices", 2, 5)
    assert 0 < fed["busy"] < 1


def test_a_training_reads_single_slices_once_its_scans_were_looked_at(tmp_path: Path):
    options = gpu_training.options_of([*TINY, "--cache-gib", "1e-9"])
    recipe = gpu_training.recipe_of(options, TrainingPrecision.FP32, batch=1)
    recipe = recipe.with_options({"sampling": recipe.sampling.model_copy(update={"slice_cache": tmp_path / "kept"})})
    written = gpu_training.written_set(tmp_path / "scans", count=1, slices=12, side=64)
    numbers = range(gpu_training.batch_maker(written, recipe, narrow_lens(EXPERTS)).plan.batches_per_epoch)
    gpu_training.read_once(gpu_training.batch_maker(written, recipe, narrow_lens(EXPERTS)), numbers, workers=0)

    def whole() -> Volume:
        raise AssertionError("the whole scan is read")

    unread = replace(written, cases=tuple(replace(case, load=whole) for case in written.cases))
    maker = gpu_training.batch_maker(unread, recipe, narrow_lens(EXPERTS))
    shown = {choice.case for number in numbers for choice in maker.plan.batch(number)}
    assert shown == set(range(len(written.cases)))
    gpu_training.read_once(maker, numbers, workers=0)


def test_a_step_for_which_the_memory_of_a_device_does_not_suffice_is_no_row():
    def raises(error: RuntimeError):
        def measure() -> gpu_training.StepSpeed:
            raise error

        return measure

    assert gpu_training.fitting(raises(torch.OutOfMemoryError("CUDA out of memory"))) is None
    with pytest.raises(RuntimeError, match="shape"):
        gpu_training.fitting(raises(RuntimeError("a shape is wrong")))


@NO_GPU
@pytest.mark.parametrize("script", [gpu, gpu_training])
def test_without_a_gpu_a_script_says_so_in_words(script):
    with pytest.raises(SystemExit, match="There is no GPU here: nothing was measured"):
        gpu.device_of(script.options_of([]).device)
