"""The process that works through a project's queue; each job gets a child process, so it never loads torch.

`__main__` is its command line, `worker` its main thread, `workflows` and `steps` what each kind of job does, `job` what
they may use, and `child_process` the way to `lens_engine.tasks`.
"""
