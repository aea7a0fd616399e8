"""Shows one classified text to a person, in Chinese, or as a record. What is shown of it is made harmless to a terminal first."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from rich.text import Text

from cli.output import out
from models.base import Level
from models.shown import plain
from rules import telling
from rules.pack import Pack
from rules.telling import LEVEL_TITLES, TEXT_FIELDS
from rules.text.normalize import MAX_CHARACTERS
from rules.text.result import Finding, Screened, Seen
from rules.text_level import TextJudged

REQUEST_TITLES = {
    "consultation": "咨询",
    "help": "求助",
    "complaint": "投诉",
    "report": "举报",
    "suggestion": "建议",
    "praise": "表扬",
    "other": "其他",
}
KIND_TITLES = {
    "own_actor": "只能是公职或办件的说法",
    "cues": "明确说法",
    "mild": "较轻说法",
    "pattern": "句式",
    "broad": "宽泛说法",
    "weak": "日常用语,语义层同意才算",
    "hints": "委婉说法",
    "innocent": "另有所指的词",
}
GATE_TITLES = {
    "boundary": "词界",
    "negation": "否定",
    "hypothetical": "假设",
    "quotation": "引用",
    "hearsay": "传闻",
    "doubt": "疑问",
    "cleared": "更正",
    "actor": "主体",
    "consultation": "咨询",
    "praise": "表扬",
    "agreement": "语义层",
}
ACTOR_TITLES = {
    **telling.ACTOR_TITLES,
    "unclear": "主体不明",
    "private": "非公职主体",
    "asked": "被请求处理的单位",
    "victim": "公职人员是受害人",
}
_KEPT = "\n\t"


class Classified(NamedTuple):
    """One text, and all that was found out about it."""

    text: str
    field: str
    request_type: str | None
    screened: Screened
    judged: TextJudged
    pack: Pack

    def title(self, category: str) -> str:
        """Return a category's Chinese title."""
        return self.pack.lexicon.categories[category].title


def harmless(text: str) -> str:
    """Return a text of the same length and lines that can be shown."""
    return plain(text, kept=_KEPT)


def as_record(told: Classified, *, explain: bool) -> dict[str, Any]:
    """Return everything as JSON takes it; offsets are of the text's characters."""
    record: dict[str, Any] = {
        "labels": list(told.judged.labels),
        "level": told.judged.level,
        "request_type": told.request_type,
        "field": told.field,
        "characters": len(told.text),
        "characters_read": min(len(told.text), MAX_CHARACTERS),
        "findings": [_finding(told, one) for one in told.screened.findings],
        "rules": dict(told.judged.levels),
        "private": list(told.screened.private),
        "second_layer": {category: round(share, 3) for category, share in told.screened.hints.items()},
    }
    if explain:
        record["cues"] = [_cue(one) for one in told.screened.seen]
    return record


def _finding(told: Classified, one: Finding) -> dict[str, Any]:
    return {
        "category": one.category,
        "title": told.title(one.category),
        "counts": one in told.judged.findings,
        "level": told.judged.levels.get(one.category),
        "confidence": one.confidence,
        "specificity": one.specificity,
        "details": one.details.split("、") if one.details else [],
        "severe": one.severe,
        "actor": one.actor,
        "layer": one.layer,
        "quote": harmless(one.quote),
    }


def _cue(one: Seen) -> dict[str, Any]:
    return {
        "category": one.hit.category,
        "kind": one.hit.kind,
        "cue": one.hit.source,
        "start": one.span[0],
        "end": one.span[1],
        "words": harmless(one.words),
        "confidence": one.confidence,
        "specifics": list(one.specifics),
        "actor": one.actor,
        "verdicts": [
            {"gate": said.gate, "factor": said.factor, "reason": harmless(said.reason)} for said in one.verdicts
        ],
        "suppressed_by": one.stopped.gate if one.stopped else None,
    }


def show(told: Classified, *, explain: bool) -> None:
    """Print the text with its cues marked, its categories, its level, and with `explain` every cue."""
    place = TEXT_FIELDS.get(told.field, f"承办单位用语 {told.field},不作筛查")
    kind = REQUEST_TITLES[told.request_type] if told.request_type else "未注明"
    out.print(f"文本({place};诉求类型:{kind})")
    out.print(_marked(told))
    if len(told.text) > MAX_CHARACTERS:
        out.print(f"(只读前 {MAX_CHARACTERS:,} 字,全文 {len(told.text):,} 字)")
    out.print(f"\n仅凭文本:{_level(told.judged.level)}")
    for one in told.screened.findings:
        _show_finding(told, one)
    if not told.screened.findings:
        out.print("  未发现反映公职人员问题的说法")
    for category in told.screened.private:
        out.print(f"  {category} {told.title(category)}:所说为非公职主体,不属监督对象")
    for rule_id, level in told.judged.levels.items():
        if rule_id not in told.judged.labels:
            out.print(f"  规则 {rule_id}:{_level(level)}")
    if explain:
        _show_cues(told)


def _level(level: Level | None) -> str:
    return f"{LEVEL_TITLES[level]}预警" if level else "不预警"


def _marked(told: Classified) -> Text:
    """Return the text with the cues that count marked: in 【】, and in a terminal in colour besides."""
    text = harmless(told.text[:MAX_CHARACTERS])
    marked, at = Text(), 0
    for start, end in _merged(_counting(told)):
        marked.append(text[at:start]).append(f"【{text[start:end]}】", style="bold yellow")
        at = end
    return marked.append(text[at:])


def _counting(told: Classified) -> list[Seen]:
    """Return the cues that bear a finding out."""
    found = {finding.category for finding in told.screened.findings}
    return [one for one in told.screened.seen if one.confidence and one.hit.category in found]


def _merged(seen: list[Seen]) -> Iterator[tuple[int, int]]:
    """Yield the spans of cues, those that overlap as one."""
    begun: tuple[int, int] | None = None
    for start, end in sorted(one.span for one in seen):
        if begun is None or start > begun[1]:
            if begun is not None:
                yield begun
            begun = (start, end)
        else:
            begun = (begun[0], max(begun[1], end))
    if begun is not None:
        yield begun


def _show_finding(told: Classified, one: Finding) -> None:
    counts = one in told.judged.findings
    judged = _level(told.judged.levels.get(one.category)) if counts else "不计(咨询或表扬中提及,没有具体指认)"
    details = f"({one.details})" if one.details else ""
    severe = ";情节较重" if one.severe else ""
    layer = ";委婉说法,由语义层提示" if one.layer == "euphemism" else ""
    out.print(
        f"  {one.category} {told.title(one.category)}:{judged};可信度 {one.confidence};具体性 {one.specificity}{details};"
        f"行为人:{ACTOR_TITLES.get(one.actor, one.actor)}{severe}{layer}"
    )
    out.print(f"      “{harmless(one.quote)}”")


def _show_cues(told: Classified) -> None:
    out.print("\n命中的说法与各关口的判断:" if told.screened.seen else "\n没有命中任何说法")
    counting = _counting(told)
    for one in told.screened.seen:
        kind = KIND_TITLES.get(one.hit.kind, one.hit.kind)
        stopped = one.stopped
        if stopped:
            end = f"不计,止于{GATE_TITLES.get(stopped.gate, stopped.gate)}关"
        else:
            end = f"可信度 {one.confidence}" + ("" if one in counting else ",过低而语义层不认同,不计")
        words = " ".join(harmless(one.words).split())
        out.print(
            f"  [{one.span[0]}–{one.span[1]}] “{words}” {one.hit.category} {told.title(one.hit.category)}({kind}):{end}"
        )
        for said in one.verdicts:
            effect = "✗ 止住" if said.factor == 0 else "✓ 放行" if said.factor >= 1 else f"↓ 乘 {said.factor:g}"
            out.print(f"      {effect}  {GATE_TITLES.get(said.gate, said.gate)}:{harmless(said.reason)}")
        if not stopped:
            out.print("      其余关口无异议" + (f";具体性:{'、'.join(one.specifics)}" if one.specifics else ""))
    for category, share in told.screened.hints.items():
        out.print(f"  语义层:{category} {told.title(category)} 可能性 {share:.2f}")
