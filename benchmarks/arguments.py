"""What benchmarks and the long forms of tests take on the command line."""


def positive(said: str) -> int:
    """Return a whole number from 1 on. Raises ValueError, of which argparse makes a refusal: a run of nothing says nothing."""
    number = int(said)
    if number < 1:
        raise ValueError(said)
    return number


positive.__name__ = "number from 1 on"  # argparse names the type in its refusal
