"""How bars of progress look."""

BATCH_PROGRESS = {"delay": 4, "mininterval": 5}
"""Of a tqdm bar: none for what takes seconds, and few lines where each update becomes one, as in papermill."""
