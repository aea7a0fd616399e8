"""What the dashboards are made of: panels of one look, over Prometheus. Queries are PromQL with Grafana's variables in it."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, common, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DataSourceRef,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    VariableHide,
    VariableRefresh,
)

TAG = "hotline-watch"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
GREEN, AMBER, RED, BLUE = "green", "dark-yellow", "red", "blue"

Panel = timeseries.Panel | stat.Panel | bargauge.Panel
_Panel = TypeVar("_Panel", timeseries.Panel, stat.Panel, bargauge.Panel)


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked, and how a series of the answer is called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """How a series is shown that is known by its legend."""

    name: str
    colour: str | None = None


Looks = Mapping[str, Look]


def quantiles(
    metric: str, *, where: str = "", by: str = "", quantile: Iterable[float] = (0.5, 0.95, 0.99)
) -> list[Query]:
    """Return the quantiles of a histogram; `where` selects series, `by` is a label that keeps them apart."""
    labels = f"le, {by}" if by else "le"
    return [
        Query(
            f"histogram_quantile({one}, sum by ({labels}) (rate({metric}_bucket{where}[$__rate_interval])))",
            f"p{one * 100:g}" + (f" {{{{{by}}}}}" if by else ""),
        )
        for one in quantile
    ]


def graph(
    title: str,
    about: str,
    *queries: Query,
    unit: str = "short",
    width: int = 12,
    stacked: bool = False,
    bars: str | None = None,
    looks: Looks | None = None,
) -> timeseries.Panel:
    """Return lines over time; `bars`: one bar for each step of this length, such as 1h, in their place."""
    panel = (
        timeseries.Panel()
        .height(8)
        .min(0)
        .line_width(1)
        .fill_opacity(10)
        .show_points(options.VisibilityMode.NEVER)
        .tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI))
        .legend(
            common.VizLegendOptions()
            .display_mode(options.LegendDisplayMode.TABLE)
            .placement(options.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull", "max"])
        )
    )
    if bars is not None:
        panel.draw_style(options.GraphDrawStyle.BARS).fill_opacity(80).interval(bars)
    if stacked:
        panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL).group("A"))
    return _completed(panel, title, about, queries, unit, width, looks)


def number(
    title: str, about: str, query: Query, *, unit: str = "short", width: int = 4, bad_from: float | None = None
) -> stat.Panel:
    """Return the present value in figures, red from `bad_from` on."""
    panel = (
        stat.Panel()
        .height(4)
        .color_mode(options.BigValueColorMode.VALUE)
        .graph_mode(options.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_scheme(builders.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .thresholds(_thresholds(bad_from))
    )
    return _completed(panel, title, about, (query,), unit, width, None, instant=True)


def ranking(
    title: str, about: str, query: Query, *, unit: str = "short", width: int = 12, looks: Looks | None = None
) -> bargauge.Panel:
    """Return one bar for each series of the present answer."""
    panel = (
        bargauge.Panel()
        .height(10)
        .min(0)
        .orientation(options.VizOrientation.HORIZONTAL)
        .display_mode(options.BarGaugeDisplayMode.BASIC)
        .show_unfilled(False)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_scheme(builders.FieldColor().mode(FieldColorModeId.FIXED).fixed_color(BLUE))
    )
    return _completed(panel, title, about, (query,), unit, width, looks, instant=True)


def _completed(
    panel: _Panel,
    title: str,
    about: str,
    queries: Sequence[Query],
    unit: str,
    width: int,
    looks: Looks | None,
    *,
    instant: bool = False,
) -> _Panel:
    panel.title(title).description(about).datasource(SOURCE).unit(unit).span(width)
    for number_, query in enumerate(queries):
        asked = Dataquery().expr(query.expr).legend_format(query.legend or "__auto").ref_id(chr(ord("A") + number_))
        panel.with_target(asked.instant() if instant else asked.range())
    for legend, look in (looks or {}).items():
        shown = [DynamicConfigValue("displayName", look.name)]
        if look.colour is not None:
            shown.append(DynamicConfigValue("color", {"mode": "fixed", "fixedColor": look.colour}))
        panel.override_by_name(legend, shown)
    return panel


def _thresholds(bad_from: float | None) -> builders.ThresholdsConfig:
    steps = [Threshold(None, GREEN)] + ([Threshold(bad_from, RED)] if bad_from is not None else [])
    return builders.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def dashboard(name: str, title: str, about: str, *, refresh: str, since: str) -> builders.Dashboard:
    """Return an empty dashboard that shows what came since, such as now-6h, in the colours and links of all of them."""
    return (
        builders.Dashboard(title)
        .uid(f"{TAG}-{name}")
        .description(about)
        .tags([TAG])
        .readonly()
        .refresh(refresh)
        .time(since, "now")
        .timezone("Asia/Shanghai")
        .link(
            builders.DashboardLink("hotline-watch")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(False)
            .keep_time(True)
        )
        .with_variable(
            builders.DatasourceVariable("datasource")
            .label("Prometheus")
            .type("prometheus")
            .hide(VariableHide.HIDE_VARIABLE)
        )
    )


def choice(name: str, label: str, query: str) -> builders.QueryVariable:
    """Return a variable whose values are asked of Prometheus; all of them at first."""
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def with_rows(page: builders.Dashboard, rows: Mapping[str, Sequence[Panel]]) -> builders.Dashboard:
    """Add panels below the headings of their rows."""
    numbers = itertools.count(1)
    for title, panels in rows.items():
        page.with_row(builders.Row(title).id(next(numbers)))
        for panel in panels:
            page.with_panel(panel.id(next(numbers)))
    return page
