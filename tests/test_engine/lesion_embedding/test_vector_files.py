"""A file of vectors says which network and which detections it is from; another one is made anew or refused."""

from pathlib import Path

import numpy as np
import pytest
from support.measures.mining_cases import Seen, proposals

from lens_engine.errors import StoreError
from lens_engine.lesion_embedding.vector_files import VectorFiles
from lens_engine.mining.looks import SeriesVectors

VECTORS = SeriesVectors(
    {7: np.asarray([1, 0], np.float32)},
    {7: np.asarray([0, 1], np.float32)},
    np.asarray([1]),
    np.asarray([[0.6, 0.8]], np.float32),
)


@pytest.fixture
def files(tmp_path: Path) -> VectorFiles:
    written = VectorFiles(tmp_path, "n" * 64, "v1")
    written.write("scan", VECTORS)
    return written


def test_vectors_are_read_as_they_were_written(files: VectorFiles) -> None:
    read = files.read("scan")
    assert files.exists("scan")
    assert {number: vector.tolist() for number, vector in read.annotations.items()} == {7: [1, 0]}
    assert {number: vector.tolist() for number, vector in read.decided.items()} == {7: [0, 1]}
    embedded = read.of_boxes(proposals([Seen(0, range(3), {"universal": 0.5}, look=10)]))
    np.testing.assert_array_equal(embedded.embeddings, np.asarray([[0, 0], [0.6, 0.8], [0, 0]], np.float32))


@pytest.mark.parametrize(
    ("network", "detections", "why"),
    [
        ("m" * 64, "v1", r"embedded by the network nnnnnnnnnnnn.*now uses mmmmmmmmmmmm; vectors of two networks"),
        ("n" * 64, "v2", r"belong to the boxes of v1.*those of v2"),
    ],
)
def test_vectors_of_another_network_or_of_other_boxes_count_as_missing_and_are_refused(
    files: VectorFiles, network: str, detections: str, why: str
) -> None:
    other = VectorFiles(files.folder, network, detections)
    assert not other.exists("scan")
    with pytest.raises(StoreError, match=why):
        other.read("scan")


def test_what_an_older_program_began_is_asked_to_start_again(files: VectorFiles) -> None:
    np.savez(files.folder / "old.npz", ids=np.asarray([7, 9]), vectors=np.eye(2, dtype=np.float32))
    for name in ("old", "none"):
        assert not files.exists(name)
        with pytest.raises(StoreError, match=r"no embeddings of this version.*Start the mining again"):
            files.read(name)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a file"])
def test_a_damaged_file_is_made_anew_or_refused_with_what_to_do(files: VectorFiles, content: bytes) -> None:
    (files.folder / "scan.npz").write_bytes(content)
    assert not files.exists("scan")
    with pytest.raises(StoreError, match=r"series scan cannot be read.*Start the mining again: they are computed anew"):
        files.read("scan")
