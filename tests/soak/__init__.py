"""Processes of LENS-napari that are killed at random moments, and a reckoning of what is left afterwards.

`python -m soak` from the folder of the tests, or `make soak`. `ground` makes the project, `reader` is the process of a
viewer whose keys are pressed, `victims` are the processes that are killed, `storm` kills them, and `reckoning` looks
whether anything is missing, doubled, stuck or left over. `docs/reliability.md` holds what came of it.
"""
