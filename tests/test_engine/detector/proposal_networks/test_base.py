"""What holds for every kind of proposal network, checked against plain loops over the raw maps."""

import math

import pytest
import torch

from lens_engine.detector.config import ProposalConfig, ProposalKind
from lens_engine.detector.network.box_coder import decode_boxes
from lens_engine.detector.proposal_networks.base import Branch, boxes_around
from lens_engine.detector.proposal_networks.build import build_proposal_network

KINDS = pytest.mark.parametrize("kind", list(ProposalKind))


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def sides_of(maps, image, row, column):
    top, bottom, left, right = (max(float(side), 0.0) for side in maps[-1][image, :, row, column])
    x, y = column * 4 + 2, row * 4 + 2
    return [x - 4 * left, y - 4 * top, x + 4 * right, y + 4 * bottom]


def dense_proposals(kind, network, features, image):
    """Return score and box of every place, written as the contract of each kind says it."""
    maps = network(features)
    height, width = features.shape[2:]
    scores, boxes = [], []
    for row in range(height):
        for column in range(width):
            at = [values[image, ..., row, column] for values in maps]
            if kind is ProposalKind.AFP:
                scores.append(sigmoid(at[0]))
                boxes.append(sides_of(maps, image, row, column))
            elif kind is ProposalKind.FCOS:
                scores.append(math.sqrt(sigmoid(at[0]) * sigmoid(at[1])))
                boxes.append(sides_of(maps, image, row, column))
            elif kind is ProposalKind.CENTERNET:
                around = maps.heat[image, 0, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
                scores.append(sigmoid(at[0]) if at[0] == around.max() else 0.0)
                x, y = 4 * (column + float(at[2][0])), 4 * (row + float(at[2][1]))
                half_width, half_height = (2 * max(float(side), 0.0) for side in at[1])
                boxes.append([x - half_width, y - half_height, x + half_width, y + half_height])
            else:
                scores.extend(sigmoid(logit) for logit in at[0])
                first = (row * width + column) * len(at[0])
                anchors = network.anchors(height, width)[first : first + len(at[0])]
                boxes.extend(decode_boxes(at[1], anchors).tolist())
    return torch.tensor(scores, dtype=torch.float64), torch.tensor(boxes, dtype=torch.float64)


@KINDS
@torch.no_grad()
def test_sparse_proposals_equal_the_dense_maps_at_every_place(kind, loud, features):
    network = loud(kind)
    scored = network.score(features)
    for image in range(len(features)):
        scores, boxes = dense_proposals(kind, network, features, image)
        places = torch.randperm(len(scores), generator=torch.Generator().manual_seed(2))
        assert scores.std() > 0.01
        torch.testing.assert_close(scored.scores[image], scores)
        torch.testing.assert_close(network.boxes_at(scored.context, image * len(scores) + places), boxes[places])


@KINDS
@torch.no_grad()
def test_no_place_gives_no_box(kind, loud, features):
    network = loud(kind)
    nothing = torch.zeros(0, dtype=torch.int64)
    assert network.boxes_at(network.score(features).context, nothing).shape == (0, 4)


@KINDS
@torch.no_grad()
def test_a_new_network_begins_with_the_sides_it_is_told_around_its_cells(kind, untrained):
    network = untrained(kind)
    network.start_with_sides(6.0)
    context = network.score(torch.zeros(1, 5, 6, 9)).context
    places = torch.tensor([0, 10])
    expected = torch.tensor([[-10.0, -10, 14, 14], [-6, -6, 18, 18]])
    if kind is ProposalKind.RPN:
        expected = network.anchors(6, 9)[places]
    torch.testing.assert_close(network.boxes_at(context, places), expected)


@KINDS
def test_every_parameter_learns_from_the_raw_maps(kind, loud, features):
    network = loud(kind)
    sum(values.sin().sum() for values in network(features)).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


@KINDS
@torch.no_grad()
def test_half_precision_does_not_round_where_boxes_are(kind, untrained):
    network, places = untrained(kind), torch.arange(150, 200)
    context = network.score(torch.zeros(1, 5, 1, 200)).context
    expected = network.boxes_at(context, places)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(network.boxes_at(context, places), expected)


@torch.no_grad()
def test_outputs_at_chosen_cells_equal_the_dense_map(features):
    branch = Branch(5, 7, 3).double()
    dense = branch(features).permute(0, 2, 3, 1).flatten(0, 2)
    cells = torch.arange(2 * 6 * 9).flip(0)
    torch.testing.assert_close(branch.at(features, cells), dense[cells])


def test_a_cell_stands_for_the_middle_of_its_four_pixels():
    sides = torch.tensor([[1.0, 2, 3, 4], [-1, 0, 0.5, 0]])  # top, bottom, left, right in cells
    boxes = boxes_around(torch.tensor([0, 11]), sides, map_width=10)
    assert boxes.tolist() == [[-10, -2, 18, 10], [4, 6, 6, 6]]


@KINDS
def test_convolutions_begin_with_the_published_spread(kind):
    torch.manual_seed(0)
    network = build_proposal_network(64, ProposalConfig(kind=kind, width=500))
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            assert float(module.weight.std()) == pytest.approx(0.01, rel=0.1)
