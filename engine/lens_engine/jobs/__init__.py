"""Background jobs: what can be asked for, how it is going, and the worker processes that do it.

`status` and `inputs` are plain values, `client` asks, `launcher` starts a worker; `worker`, `workflows` and `child`
run in other processes and are the only ones that may meet torch.
"""
