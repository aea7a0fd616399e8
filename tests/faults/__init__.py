"""The fault campaign: each fault of the matrix on real Kafka, with an oracle after it. `python -m tests.faults --help`."""
