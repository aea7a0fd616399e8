"""Screening texts, every layer, in one process; against jieba's plain segmentation of the same texts.

By name it screens synthetic texts. With files of real messages (the public sets that docs/real-data.md names)
it screens those and writes nothing down but figures:

    python -m benchmarks.screening MESSAGES.csv.gz…

One half of the texts warms the process up, the other half is measured; both programs get the same halves. Start-up is the time from before
the first import to the first text screened, in a fresh process; memory is that of a process that screened all texts.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.generator import generate_lines
from benchmarks.result import Result, Row, lines
from benchmarks.support import BenchmarkError

TEXTS, QUICK_TEXTS = 6_000, 300
CHARACTERS = 377
"""the average length of the public sets' messages"""
ROUNDS = 3
EXAM = Path(__file__).parent.parent / "tests" / "exam"
_TOLD_EVERY = 12
"""one synthetic text in so many has a sentence of the exam sets in it"""
_LONG = (2_000, 20_000)


def run(quick: bool = False) -> Result:
    """Return the figures on synthetic texts. Raises BenchmarkError where the process fails."""
    return measure(synthetic(QUICK_TEXTS if quick else TEXTS), {"texts": "synthetic"}, quick=quick)


def measure(texts: list[str], parameters: dict[str, str | int | float], quick: bool = False) -> Result:
    """Return the figures on some texts."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "texts.json"
        file.write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")
        rounds = [(_child("screen", file), _child("jieba", file)) for _ in range(1 if quick else ROUNDS)]
    ours = statistics.median(ours["per_second"] for ours, _ in rounds)
    ratio = statistics.median(ours["per_second"] / theirs["per_second"] for ours, theirs in rounds)
    first = [ours for ours, _ in rounds]
    length = sum(map(len, texts)) / len(texts)
    rows = (
        Row("screening ÷ jieba.lcut, same texts", ratio, "×", at_least=5),
        Row("screening", ours, "texts/s", at_least=5_000),
        Row("jieba.lcut", statistics.median(theirs["per_second"] for _, theirs in rounds), "texts/s"),
        Row("start-up, first text screened", statistics.median(one["start"] for one in first), "s", at_most=1.5),
        Row("memory of the process, at most", max(one["memory"] for one in first), "MB", at_most=250),
        *(
            Row(
                f"a text of cues only, {size:,} characters",
                statistics.median(one["long"][str(size)] for one in first),
                "ms",
            )
            for size in (*_LONG, 200_000)
        ),
    )
    return Result(
        "screening",
        f"Screening {len(texts):,} texts of {length:.0f} characters on average",
        rows,
        {**parameters, "number": len(texts), "rounds": len(rounds)},
        quick=quick,
    )


def synthetic(count: int, seed: int = 377) -> list[str]:
    """Return texts of about `CHARACTERS` characters: ordinary complaints, among them sentences of the exam sets."""
    draw = random.Random(seed)
    ordinary = [content for line in generate_lines(count, seed) if (content := json.loads(line).get("content"))]
    told = [
        json.loads(line)["text"]
        for file in sorted(EXAM.glob("*.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    texts = []
    for number in range(count):
        parts = [draw.choice(told)] if number % _TOLD_EVERY == 0 else []
        while sum(map(len, parts)) < CHARACTERS - 60:
            parts.append(draw.choice(ordinary))
        draw.shuffle(parts)
        texts.append("".join(parts))
    return texts


def real(files: list[Path]) -> list[str]:
    """Return the messages of the public sets: the fifth column."""
    texts = []
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8", newline="") as stream:
            texts += [row[4] for row in list(csv.reader(stream))[1:]]
    return texts


def _child(what: str, file: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.screening_process", what, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"{what}: {done.stderr[-400:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure on files of real messages."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.screening", description="Measure screening on real messages."
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="MESSAGES.csv.gz")
    print("\n".join(lines(measure(real(parser.parse_args().files), {"texts": "real messages"}))))


if __name__ == "__main__":
    main()
