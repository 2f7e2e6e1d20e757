"""Every protocol and report of measuring detectors, and the FROC curve that they stand on."""
