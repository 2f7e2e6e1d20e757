"""What the child process of a worker does: detection, mining, evaluation and export; may load torch.

`__main__` is its command line, `service` its talk with the worker, and `workbench` holds the tasks.
"""
