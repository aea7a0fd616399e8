"""Fits the euphemism model and writes `rules/text/model.npz`.

    python -m rules.text.training                     fit on all examples and write the weights
    python -m rules.text.training --cross-validate    measure on the examples, and write nothing

One logistic regression for each category over the hashed pieces of `rules/text/euphemism.py`, weighted by inverse document frequency. A
category's threshold is where it flags at most `--false-alarms` of the ordinary examples that it did not learn from. Same examples, same
weights.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from rules.text.euphemism import BUCKETS, pieces
from rules.text.normalize import Plain, normalize

HERE = Path(__file__).parent
OUT = HERE.parent / "model.npz"
CATEGORIES = (*(f"C{number:02d}" for number in range(1, 13)), "X1", "X2")
FOLDS = 5
SEED = 20251125
_STRENGTH = 20.0
_LEAST_DOCUMENTS = 2


class Example(NamedTuple):
    """A text to learn from."""

    kind: str
    """euphemistic, standard, ordinary: how its file begins"""
    text: Plain
    labels: frozenset[str]


def examples(folder: Path = HERE) -> list[Example]:
    """Return the examples, in the order of files and lines."""
    return [
        Example(path.stem.partition("_")[0], normalize(record["text"]), frozenset(record["labels"]))
        for path in sorted(folder.glob("*.jsonl"))
        for record in map(json.loads, path.read_text(encoding="utf-8").splitlines())
    ]


def matrix(texts: Sequence[Plain]) -> csr_matrix:
    """Return one row a text: how often each piece stands in it."""
    rows = [found[found > 0] for found in (pieces(text.codes) for text in texts)]
    pointers = np.concatenate(([0], np.cumsum([len(row) for row in rows])))
    columns = np.concatenate(rows)
    counted = csr_matrix((np.ones(len(columns)), columns, pointers), shape=(len(texts), BUCKETS))
    counted.sum_duplicates()
    return counted


class Fitted:
    """Weights fitted on some texts."""

    def __init__(self, texts: csr_matrix, labels: np.ndarray) -> None:
        documents = np.asarray((texts > 0).sum(axis=0)).ravel()
        self.kept = np.flatnonzero(documents >= _LEAST_DOCUMENTS)
        self.idf = np.zeros(BUCKETS)
        self.idf[self.kept] = np.log((1 + texts.shape[0]) / (1 + documents[self.kept])) + 1
        weighted = self._weighted(texts)
        self.coefficients = np.zeros((len(CATEGORIES), BUCKETS))
        self.bias = np.zeros(len(CATEGORIES))
        with threadpool_limits(1):  # the vectors are short: threads cost ten times what they save
            for column in range(len(CATEGORIES)):
                fit = LogisticRegression(
                    C=_STRENGTH, class_weight="balanced", max_iter=5_000, tol=1e-7, random_state=SEED
                )
                fit.fit(weighted[:, self.kept], labels[:, column])
                self.coefficients[column, self.kept] = fit.coef_[0]
                self.bias[column] = fit.intercept_[0]

    def _weighted(self, texts: csr_matrix) -> csr_matrix:
        weighted = texts.multiply(self.idf).tocsr()
        # As scoring counts it: every piece by itself, for it does not look whether one comes twice.
        lengths = np.sqrt(np.asarray(texts.multiply(self.idf**2).sum(axis=1)).ravel())
        lengths[lengths == 0] = 1
        return csr_matrix(weighted.multiply((1 / lengths)[:, None]))

    def probabilities(self, texts: csr_matrix) -> np.ndarray:
        """Return one row a text, one column a category."""
        found: np.ndarray = 1 / (1 + np.exp(-(self._weighted(texts) @ self.coefficients.T + self.bias)))
        return found


def folds(labels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the rows to learn from and the rows held out."""
    strata = [int(row.argmax()) + 1 if row.any() else 0 for row in labels]
    yield from StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(np.zeros(len(labels)), strata)


def out_of_fold(texts: csr_matrix, labels: np.ndarray) -> np.ndarray:
    """Return each text's probabilities by weights that did not learn from it."""
    found = np.zeros(labels.shape)
    for learn, held in folds(labels):
        found[held] = Fitted(texts[learn], labels[learn]).probabilities(texts[held])
    return found


def thresholds(found: np.ndarray, labels: np.ndarray, false_alarms: float) -> np.ndarray:
    """Return for each category where at most so many ordinary texts are flagged, by it alone."""
    ordinary = ~labels.any(axis=1)
    limits: np.ndarray = np.quantile(found[ordinary], 1 - false_alarms, axis=0)
    return limits


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, or cross-validate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cross-validate", action="store_true", help="measure only")
    parser.add_argument("--false-alarms", type=float, default=0.013, help="share of ordinary texts a category may flag")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    read = examples()
    texts = matrix([example.text for example in read])
    labels = np.array([[category in example.labels for category in CATEGORIES] for example in read])
    held_out = out_of_fold(texts, labels)
    limits = thresholds(held_out, labels, options.false_alarms)
    report = measured(held_out, labels, limits, [example.kind for example in read])
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    if not options.cross_validate:
        write(options.out, Fitted(texts, labels), limits)


def measured(found: np.ndarray, labels: np.ndarray, limits: np.ndarray, kinds: Sequence[str]) -> dict[str, Any]:
    """Return recall over all, by kind of example and by category, and how many ordinary texts are flagged at all."""
    flagged = found >= limits
    ordinary = ~labels.any(axis=1)
    hit = flagged & labels
    told = {kind: np.array([one == kind for one in kinds]) for kind in sorted(set(kinds))}
    return {
        "examples": len(labels),
        "ordinary": int(ordinary.sum()),
        "recall": _share(hit, labels),
        "recall_by_kind": {kind: _share(hit[rows], labels[rows]) for kind, rows in told.items() if labels[rows].any()},
        "ordinary_flagged": round(float(flagged[ordinary].any(axis=1).mean()), 3),
        "recall_by_category": {
            name: _share(hit[:, column], labels[:, column]) for column, name in enumerate(CATEGORIES)
        },
    }


def _share(hit: np.ndarray, labels: np.ndarray) -> float:
    return round(float(hit.sum() / labels.sum()), 3)


def write(path: Path, fitted: Fitted, limits: np.ndarray) -> None:
    """Write the weights that matter, each as a half."""
    strength = np.abs(fitted.coefficients).max(axis=0)
    kept = np.flatnonzero(strength > 0)
    weights = (fitted.coefficients[:, kept] * fitted.idf[kept]).T
    np.savez_compressed(
        path,
        categories=np.array(CATEGORIES),
        buckets=kept.astype(np.int32),
        weights=weights.astype(np.float16),
        idf=fitted.idf[kept].astype(np.float16),
        bias=fitted.bias.astype(np.float32),
        thresholds=limits.astype(np.float32),
    )


if __name__ == "__main__":
    main()
