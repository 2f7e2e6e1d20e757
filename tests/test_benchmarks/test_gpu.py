import pytest
import torch

from benchmarks import gpu, gpu_training

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
    sizes = ["--batch", "1", "--steps", "1", "--scans", "2", "--slices", "12", "--workers", "0"]
    options = gpu_training.options_of([*TINY, *sizes])
    results = gpu_training.measure(options, gpu.device_of(options.device))
    assert "goal: 40% of the rate" in capsys.readouterr().out
    rows = [(row["precision"], row["batch"]) for row in results["steps"]]
    assert rows == [("bf16-mixed", 1), ("32-true", 1)]
    assert all(row["images_per_second"] > 0 and row["share_of_rate"] > 0 for row in results["steps"])
    fed = results["fed"]
    assert (fed["source"], fed["workers"]) == ("2 scans of 12 slices", 0)
    assert 0 < fed["busy"] < 1


@NO_GPU
@pytest.mark.parametrize("script", [gpu, gpu_training])
def test_without_a_gpu_a_script_says_so_in_words(script):
    with pytest.raises(SystemExit, match="There is no GPU here: nothing was measured"):
        gpu.device_of(script.options_of([]).device)
