"""When the lack of memory is named as the reason why a process was killed."""

from lens_engine.worker.memory_watch import MemoryReading, MemoryWatch, read_memory

GB = 1_000_000_000


class Readings:
    """A computer whose memory is told beforehand, one reading a second."""

    def __init__(self, *readings):
        self._readings = list(readings)
        self.seconds = 0.0

    def read(self):
        self.seconds += 1.0
        return self._readings.pop(0) if len(self._readings) > 1 else self._readings[0]

    def clock(self):
        return self.seconds


def story_of(*readings):
    computer = Readings(*readings)
    watch = MemoryWatch(computer.read, computer.clock)
    for _ in readings[1:]:
        computer.seconds += 1.0
        watch.look()
    return watch.story()


def test_memory_that_was_low_for_a_moment_ran_out_although_it_is_free_again():
    story = story_of(*(MemoryReading(left * GB, 100 * GB, None) for left in (60, 2, 60)))
    assert story.ran_out
    assert story.least_available == 2 * GB


def test_a_kill_that_the_kernel_counts_is_believed_whatever_was_seen():
    readings = [MemoryReading(60 * GB, 100 * GB, kills) for kills in (4, 4, 5)]
    assert story_of(*readings).ran_out


def test_kills_of_long_ago_and_free_memory_are_no_reason():
    assert not story_of(*(MemoryReading(60 * GB, 100 * GB, 4) for _ in range(3))).ran_out


def test_a_system_without_the_counter_is_judged_by_the_numbers():
    assert not story_of(MemoryReading(60 * GB, 100 * GB, None)).ran_out


def test_this_computer_says_how_its_memory_stands():
    reading = read_memory()
    assert 0 < reading.available <= reading.total
