"""Every group of faults; importing it fills the matrix."""

import tests.faults.processes
