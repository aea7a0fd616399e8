"""The groups of faults; `load` enters them all into the matrix."""

from importlib import import_module

GROUPS = ("processes", "cluster", "links", "disks", "clock_inputs", "endpoints", "configuration")


def load() -> None:
    """Import every group."""
    for group in GROUPS:
        import_module(f"tests.faults.{group}")
