"""The second layer's weights: made by the command in the repository, from the examples in it, and scored with numpy alone."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.text.euphemism import MAX_WINDOWS, WINDOW, default_model, score, windows
from rules.text.normalize import normalize, normalize_all
from rules.text.training import __main__ as training


class Trained(NamedTuple):
    """What one run of the command gave."""

    path: Path
    report: dict[str, Any]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Train once, as the command does."""
    path = tmp_path_factory.mktemp("model") / "model.npz"
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        training.main(["--out", str(path)])
    return Trained(path, json.loads(said.getvalue()))


def test_the_weights_in_the_package_are_those_that_the_command_makes(trained: Trained) -> None:
    packaged = Path(training.__file__).parent.parent / "model.npz"
    with np.load(packaged) as here, np.load(trained.path) as there:
        assert set(here) == set(there)
        assert list(here["categories"]) == list(training.CATEGORIES)
        for name in ("buckets", "weights", "idf", "bias", "thresholds"):
            np.testing.assert_allclose(here[name].astype(float), there[name].astype(float), rtol=0.02, atol=0.02)


def test_half_of_the_euphemistic_examples_are_found_by_weights_that_did_not_see_them(trained: Trained) -> None:
    assert trained.report["recall_by_kind"]["euphemistic"] >= 0.5
    assert trained.report["ordinary_flagged"] <= 0.3


def test_scoring_needs_numpy_alone() -> None:
    code = (
        "import sys; sys.modules['sklearn'] = sys.modules['scipy'] = None\n"
        "from rules.text.euphemism import default_model, score\n"
        "from rules.text.normalize import normalize\n"
        "print(max(score(default_model(), [(normalize('天天有人请那位主任吃饭,单子都是老板签的'), 0)])[0].shares))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < float(done.stdout) < 10


def test_windows_cover_a_text_and_none_is_long() -> None:
    text = normalize("路灯坏了。" * 30 + "没有任何标点的一句话" * 40 + "!下一句。").text
    spans = windows(text)
    assert spans[0][0] == 0
    assert spans[-1][1] == len(text)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(spans))
    assert all(0 < end - start <= WINDOW for start, end in spans)


def test_a_text_of_any_length_has_no_more_than_so_many_windows() -> None:
    assert len(windows("字" * 20_000)) == MAX_WINDOWS
    assert windows("") == []


def test_the_same_sentence_weighs_less_in_a_long_text() -> None:
    told = "每逢过节,办事的老板都要往那位科长家里送东西,不送就没法验收。"
    filler = "小区门口的路灯坏了很久,晚上走路看不清,请尽快派人来修理一下。" * 12
    alone, among = score(default_model(), [(normalize(told), 0), (normalize(filler + told), 0)])
    column = default_model().categories.index("C08")
    assert 0 < among.probability(column) < alone.probability(column)


_TEXTS = st.lists(st.text(alphabet="村书记收红包天有人请吃饭。!\n \u200b😀abＡ", max_size=60), min_size=1, max_size=6)


@given(_TEXTS, st.integers(0, 20))
def test_texts_scored_together_are_scored_as_each_alone(texts: list[str], first: int) -> None:
    asked = [(plain, min(first, len(plain.text))) for plain in normalize_all(texts)]
    together = score(default_model(), asked)
    for one, told in zip(asked, together, strict=True):
        alone = score(default_model(), [one])[0]
        assert told.windows == alone.windows
        assert told.shares == alone.shares


@given(_TEXTS)
def test_texts_made_plain_together_are_plain_as_each_alone(texts: list[str]) -> None:
    for text, together in zip(texts, normalize_all(texts), strict=True):
        alone = normalize(text)
        assert together.text == alone.text
        assert together.codes.tolist() == alone.codes.tolist()
        places = range(len(alone.text))
        assert [together.original(at, at + 1) for at in places] == [alone.original(at, at + 1) for at in places]
