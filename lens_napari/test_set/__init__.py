"""The window in which the test set is read: blind, one sub-volume after the other."""
