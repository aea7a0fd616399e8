"""The dashboard *Supervision*: what was warned of, for people of the domain. Figures only: no unit, no ticket, nobody."""

from collections.abc import Sequence

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.panels import (
    AMBER,
    BLUE,
    RED,
    Look,
    Looks,
    Panel,
    Query,
    dashboard,
    graph,
    number,
    ranking,
    with_rows,
)
from models.units import KIND_TITLES
from rules.pack import default_pack
from streams.metrics_dispatch import UNKNOWN_KIND

_NEW = 'status=~"raised|escalated"'
_URGENT = f'level=~"yellow|red", {_NEW}'
_REGISTERED = 'hw_events_total{type="registered"}'
_LEVELS: Looks = {"blue": Look("蓝 · 提示", BLUE), "yellow": Look("黄 · 督办", AMBER), "red": Look("红 · 立即", RED)}
_STATUSES: Looks = {"corrected": Look("更正"), "retracted": Look("撤回")}


def supervision() -> Dashboard:
    """Return the dashboard for people of the supervision office."""
    page = dashboard(
        "supervision",
        "Supervision 监督",
        "疑似问题预警的数量:按级别、规则、单位类别。预警不是结论;此处只有数字,不含单位、工单和个人。",
        refresh="5m",
        since="now-30d",
    )
    return with_rows(
        page, {"总览": _overview(), "按级别": _by_level(), "按规则": _by_rule(), "按单位类别": _by_kind_of_unit()}
    )


def _in_all(series: str, by: str = "") -> str:
    return f"sum{f' by ({by}) ' if by else ''}(increase({series}[$__range]))"


def _overview() -> Sequence[Panel]:
    levels = [
        number(
            look.name,
            "所选时段内新发和升级的预警。",
            Query(_in_all(f'hw_warnings_total{{level="{level}", {_NEW}}}')),
            bad_from=1 if level == "red" else None,
        )
        for level, look in _LEVELS.items()
    ]
    urgent = _in_all(f"hw_warnings_total{{{_URGENT}}}")
    return (
        *levels,
        number("受理工单", "所选时段内进入系统的登记事件数。", Query(_in_all(_REGISTERED))),
        number(
            "每千件工单黄红预警",
            "所选时段内新发和升级的黄、红预警,按每千件登记工单折算。",
            Query(f"1000 * {urgent} / clamp_min({_in_all(_REGISTERED)}, 1)"),
        ),
        number(
            "直送件", "反映本机关无权处理的人、须由人工直送的件数;系统只留空壳。", Query(_in_all("hw_sealed_total"))
        ),
    )


def _by_level() -> Sequence[Panel]:
    return (
        graph(
            "每小时新发和升级的预警",
            "一件预警每升一级计一次。",
            Query(f"sum by (level) (increase(hw_warnings_total{{{_NEW}}}[1h]))", "{{level}}"),
            bars="1h",
            stacked=True,
            looks=_LEVELS,
        ),
        graph(
            "每小时更正和撤回的预警",
            "情况有变,系统自行更正或撤回的预警;凡收到过的人都会收到更正。",
            Query('sum by (status) (increase(hw_warnings_total{status=~"corrected|retracted"}[1h]))', "{{status}}"),
            bars="1h",
            stacked=True,
            looks=_STATUSES,
        ),
    )


def _by_rule() -> Sequence[Panel]:
    rules: Looks = {rule.id: Look(f"{rule.id} {rule.title}") for rule in default_pack().rules}
    return (
        ranking(
            "各规则的预警",
            "所选时段内新发和升级的预警。",
            Query(f"sort_desc({_in_all(f'hw_warnings_total{{{_NEW}}}', 'rule')} > 0)", "{{rule}}"),
            looks=rules,
        ),
        ranking(
            "文本中的线索",
            "所选时段内群众反映中被识别出的问题类别(不论是否形成预警)。",
            Query(f"sort_desc({_in_all('hw_text_findings_total', 'category')} > 0)", "{{category}}"),
            looks=rules,
        ),
    )


def _by_kind_of_unit() -> Sequence[Panel]:
    kinds: dict[str, Look] = {kind.value: Look(title) for kind, title in KIND_TITLES.items()}
    kinds[UNKNOWN_KIND] = Look("未登记或未涉及单位")
    return (
        ranking(
            "被反映单位的类别",
            "所选时段内推送的新发和升级预警;一件预警涉及几类单位,每类各计一次。",
            Query(
                f"sort_desc({_in_all(f'hw_dispatch_warnings_total{{{_NEW}}}', 'unit_kind')} > 0)",
                "{{unit_kind}}",
            ),
            looks=kinds,
        ),
        graph(
            "各类单位每天的黄红预警",
            "推送的新发和升级的黄、红预警,按单位类别。",
            Query(
                f"sum by (unit_kind) (increase(hw_dispatch_warnings_total{{{_URGENT}}}[1d])) > 0",
                "{{unit_kind}}",
            ),
            bars="1d",
            stacked=True,
            looks=kinds,
        ),
    )
