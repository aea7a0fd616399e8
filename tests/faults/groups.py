"""Every group of faults; importing it fills the matrix."""

import tests.faults.cluster
import tests.faults.links
import tests.faults.processes
