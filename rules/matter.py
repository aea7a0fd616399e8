"""Same matter (同事): are two complaints of one citizen about the same thing?

What the hotline itself recorded decides: `repeat_of`, `linked`, merged tickets. Else the first two category levels and the place must
be equal and the texts alike above a low floor; where both complaints lack category and place, the texts alone decide at a high floor.
The relation is not transitive: each pair is judged by itself. docs/same-matter.md shows on real messages how the floors were chosen.
"""

from dataclasses import dataclass

from rules.repeats import Complaint
from rules.sketch import similarity


@dataclass(frozen=True)
class MatterConfig:
    """How alike two texts must be, as the Jaccard similarity of their character bigrams (0 to 1), and the window in days."""

    low_floor: float = 0.03
    high_floor: float = 0.45
    window_days: int = 90


def same_matter(one: Complaint, other: Complaint, config: MatterConfig) -> str | None:
    """Return why the two are about the same matter, in Chinese; None where they are not."""
    if other.ticket_id in one.links or one.ticket_id in other.links:
        return "热线已标记重复或关联"
    category = _equal(one.category, other.category)
    place = _same_place(one, other)
    if category is False or place is False:
        return None
    if category is None and place is None:
        floor = config.high_floor
    elif category and place:
        floor = config.low_floor
    else:
        return None
    alike = similarity(one.text, other.text)
    if alike < floor:
        return None
    grounds = [name for name, equal in (("类别相同", category), ("地点相同", place)) if equal]
    return "、".join([*grounds, f"文本相似度{alike:.2f}"])


def _equal(one: tuple[str, ...] | str, other: tuple[str, ...] | str) -> bool | None:
    """Return whether two values are equal; None where both are missing."""
    return one == other if one or other else None


def _same_place(one: Complaint, other: Complaint) -> bool | None:
    for name in ("district", "street"):
        if (here := getattr(one, name)) and (there := getattr(other, name)) and here != there:
            return False
    if one.community and other.community:
        return one.community == other.community
    return _equal(one.spot, other.spot) if one.spot or other.spot else _equal(one.community, other.community)
