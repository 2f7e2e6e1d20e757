"""Background jobs as anyone may import them: what can be asked for, how it is going, and how a worker is started.

`inputs`, `status` and `results` are plain values, `queue` asks and follows, `launcher` starts a worker. The worker
itself is `lens_engine.worker`, and what its child process does is `lens_engine.tasks`.
"""
