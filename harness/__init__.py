"""The machine: one configuration in, one record out.

Reading order: `config` (every knob), `run` (the story of one run), `record` (what comes out).

Rooms beside this one: `architectures` (the contestants), `sweeps` (the search), `reports` (the
verdict). `harness.cli` is the only door; nobody imports it.
"""

__version__ = "0.1.0"
