"""The parts of the network: backbone, head, box coder and the operations they stand on."""
