"""The search: Optuna proposes, worker processes train, one coordinator keeps the books.

Reading order: `plan` (what a sweep is), `axes` and `space` (what is searched), `sampler` (what is
tried next, a pure function; `samplers` and `pruners` name the rules), `study` (the table of trials
on disk), `coordinator` (the loop), `pool` and `worker` (the processes that train), `group` and
`together` (several backbones at once).

This room is handed the function that trains (by name) and a tracker; it never hears of Keras,
TensorFlow or MLflow.
"""
