"""What screening says of a text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # whoever reads an event knows findings, and need not load how they are found
    from rules.text.gates import Verdict
    from rules.text.scan import Hit


class Finding(NamedTuple):
    """A category that a text speaks of, as it goes with the event: no more of the text than a masked piece."""

    category: str
    confidence: int
    """0–100, by cue, actor and hearsay; a hint's is at most 40"""
    specificity: int
    """0–5: time, amount, place, person, evidence"""
    severe: bool
    actor: str
    """official, staff, implicit, asked, private, unknown"""
    layer: str
    """cue, or euphemism: told without its words"""
    accuses: bool
    """an official, a completed act, two specifics: it counts even in what is registered as a question or as praise"""
    quote: str
    """a masked piece of the text"""
    details: str = ""
    """which of the five it is specific by, in Chinese"""


@dataclass(frozen=True, slots=True)
class Seen:
    """One cue and what each gate said of it."""

    hit: Hit
    span: tuple[int, int]
    """in the original text"""
    words: str
    verdicts: tuple[Verdict, ...]
    confidence: int
    specifics: tuple[str, ...]
    severe: bool
    actor: str
    accuses: bool

    @property
    def stopped(self) -> Verdict | None:
        """Return the verdict that stopped it."""
        return next((one for one in self.verdicts if one.factor == 0), None)


@dataclass(frozen=True, slots=True)
class Screened:
    """Everything screening says of one text."""

    findings: tuple[Finding, ...] = ()
    seen: tuple[Seen, ...] = ()
    private: tuple[str, ...] = ()
    """categories told of private actors: for the hotline, never for discipline"""
    hints: dict[str, float] = field(default_factory=dict)
    """where all is explained: the second layer's probabilities, of the categories it speaks of alone"""
