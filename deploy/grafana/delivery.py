"""The dashboard *Delivery*: do warnings reach those who are to have them, and what keeps them?"""

from collections.abc import Sequence

from grafana_foundation_sdk.builders.dashboard import Dashboard

from alerting.route import RouteReason
from alerting.stages import COUNTED_REASONS, RELEASED, SUPERSEDED
from alerting.suppress import SuppressReason
from deploy.grafana.panels import Panel, Query, choice, dashboard, graph, number, quantiles, with_rows
from models.delivery import DeliveryKind

_CHOSEN = 'subscriber=~"$subscriber"'
_OF = f"{{{_CHOSEN}}}"

_QUEUED = (*(reason for reason in RouteReason if reason.goes_on), RELEASED, *DeliveryKind)
_HELD = (*SuppressReason, SUPERSEDED)
_NOT_SENT = tuple(reason for reason in COUNTED_REASONS if reason not in (*_QUEUED, *_HELD))


def delivery() -> Dashboard:
    """Return the dashboard for operators and integrators."""
    page = dashboard(
        "delivery",
        "Delivery",
        "Warnings on their way to subscribers: pending, attempts, endpoints spared, what is held, latency, refusals.",
        refresh="30s",
        since="now-6h",
    ).with_variable(choice("subscriber", "Subscriber", "label_values(hw_dispatch_pending, subscriber)"))
    return with_rows(page, {"Now": _now(), "Attempts": _attempts(), "Waiting": _waiting(), "Decided": _decided()})


def _small(title: str, about: str, expr: str, *, unit: str = "short", bad_from: float | None = None) -> Panel:
    return number(title, about, Query(expr), unit=unit, width=4, bad_from=bad_from)


def _now() -> Sequence[Panel]:
    accepted = f'hw_dispatch_attempts_total{{outcome="accepted", {_CHOSEN}}}'
    return (
        _small("Pending", "Deliveries not accepted yet.", f"sum(hw_dispatch_pending{_OF})"),
        _small(
            "Oldest waits for",
            "How long the oldest delivery has waited that is not accepted yet.",
            f"max(hw_dispatch_oldest_pending_seconds{_OF})",
            unit="s",
            bad_from=3600,
        ),
        _small("Held by suppression", "Warnings that suppression holds.", f"sum(hw_dispatch_suppressed{_OF})"),
        _small(
            "Held: no registry",
            "1: the unit registry is missing or broken, and nothing is sent until it is mended.",
            "max(hw_dispatch_holding)",
            bad_from=1,
        ),
        _small(
            "Files not in force",
            "1: a file of delivery was changed and cannot be taken; what was read before stays in force.",
            "max(hw_dispatch_file_rejected)",
            bad_from=1,
        ),
        _small(
            "Endpoints spared",
            "Endpoints that failed so often that they are called now and then only.",
            f"sum(max by (subscriber) (hw_dispatch_breaker_open{_OF}))",
            bad_from=1,
        ),
        _small(
            "Endpoints gone",
            "Endpoints that said 410; their deliveries wait until the entry is revised.",
            f"sum(max by (subscriber) (hw_dispatch_endpoint_disabled{_OF}))",
            bad_from=1,
        ),
        _small(
            "Refused by the guard",
            "Deliveries that would have gone to the accused unit itself, in the time that is shown.",
            f"sum(increase(hw_dispatch_guard_refusals_total{_OF}[$__range]))",
            bad_from=1,
        ),
        _small(
            "To the human pool",
            "Warnings in the time that is shown of which people have to decide where they belong.",
            'sum(increase(hw_dispatch_routed_total{destination="human_pool"}[$__range]))',
        ),
        _small(
            "To nobody",
            "Warnings in the time that is shown for which not even a human pool was found: complete the unit registry.",
            'sum(increase(hw_dispatch_routed_total{destination="nobody"}[$__range]))',
            bad_from=1,
        ),
        _small(
            "Attempts accepted",
            "Share of the attempts in the time that is shown.",
            f"sum(increase({accepted}[$__range]))"
            f" / clamp_min(sum(increase(hw_dispatch_attempts_total{_OF}[$__range])), 1)",
            unit="percentunit",
        ),
        _small(
            "Accepted within, p95",
            "From the ticket event's record in Kafka to the call that was accepted: 95 of 100 were faster.",
            f"histogram_quantile(0.95, sum by (le) (rate(hw_dispatch_event_to_webhook_seconds_bucket{_OF}[$__range])))",
            unit="s",
            bad_from=60,
        ),
    )


def _attempts() -> Sequence[Panel]:
    failed = f'hw_dispatch_attempts_total{{outcome!="accepted", {_CHOSEN}}}'
    return (
        graph(
            "Attempts by outcome",
            "Calls a second, by what came of them.",
            Query(f"sum by (outcome) (rate(hw_dispatch_attempts_total{_OF}[$__rate_interval])) > 0", "{{outcome}}"),
            unit="cps",
            stacked=True,
        ),
        graph(
            "Attempts that failed, by subscriber",
            "Calls a second that were not accepted.",
            Query(f"sum by (subscriber) (rate({failed}[$__rate_interval]))", "{{subscriber}}"),
            unit="cps",
        ),
        graph(
            "From event to accepted call",
            "From the ticket event's record in Kafka to the call that was accepted.",
            *quantiles("hw_dispatch_event_to_webhook_seconds", where=_OF),
            unit="s",
        ),
        graph(
            "Time to answer, p95",
            "From the start of an attempt to its answer.",
            *quantiles("hw_dispatch_attempt_seconds", where=_OF, by="subscriber", quantile=(0.95,)),
            unit="s",
        ),
    )


def _waiting() -> Sequence[Panel]:
    return (
        graph(
            "Pending by subscriber",
            "Deliveries not accepted yet.",
            Query(f"sum by (subscriber) (hw_dispatch_pending{_OF})", "{{subscriber}}"),
            width=8,
        ),
        graph(
            "Oldest by subscriber",
            "How long each subscriber's oldest delivery has waited that is not accepted yet.",
            Query(f"max by (subscriber) (hw_dispatch_oldest_pending_seconds{_OF})", "{{subscriber}}"),
            unit="s",
            width=8,
        ),
        graph(
            "Held back",
            "Warnings that suppression holds: a silence, quiet hours, another warning that says more.",
            Query(f"sum by (subscriber) (hw_dispatch_suppressed{_OF})", "{{subscriber}}"),
            width=8,
        ),
        graph(
            "Breaker",
            "1: the endpoint is being spared, or said that it is gone.",
            Query(f"max by (subscriber) (hw_dispatch_breaker_open{_OF})", "{{subscriber}} spared"),
            Query(f"max by (subscriber) (hw_dispatch_endpoint_disabled{_OF})", "{{subscriber}} gone"),
        ),
        graph(
            "Not taken yet",
            "Warnings and records that dispatch has not taken yet.",
            Query('sum by (topic) (hw_lag_records{process="dispatch"})', "{{topic}}"),
        ),
    )


def _decided() -> Sequence[Panel]:
    return (
        _by_reason(
            "Queued, by reason",
            "Warnings that were queued: wanted, following up what was told before, released after they were held, said again.",
            _QUEUED,
        ),
        _by_reason(
            "Held back, by reason",
            "Warnings that were held: a silence, quiet hours, another warning that says more, a newer version in their place.",
            _HELD,
        ),
        _by_reason(
            "Not sent, by reason",
            "Warnings that do not go to a subscriber: filters, routing, not for pushing; `conflict`: its unit is the accused one.",
            _NOT_SENT,
        ),
        graph(
            "Where routing led",
            "Versions of warnings to be pushed, a second: to recipients, to the human pool, or to nobody.",
            Query("sum by (destination) (rate(hw_dispatch_routed_total[$__rate_interval]))", "{{destination}}"),
            unit="cps",
            width=8,
            stacked=True,
        ),
        graph(
            "Guard refusals",
            "Deliveries that would have gone to the accused unit itself: look at the registry and the routing.",
            Query(
                f"sum by (subscriber) (increase(hw_dispatch_guard_refusals_total{_OF}[$__rate_interval]))",
                "{{subscriber}}",
            ),
            width=8,
        ),
        graph(
            "Pulled",
            "Warnings given to those who pull, a second; those that the guard kept from them; those too old to be kept.",
            Query("sum(rate(hw_api_pulled_alerts_total[$__rate_interval]))", "given"),
            Query("sum(rate(hw_api_refused_total[$__rate_interval]))", "kept by the guard"),
            Query("sum(rate(hw_api_missing_alerts_total[$__rate_interval]))", "no longer kept"),
            unit="cps",
            width=8,
        ),
    )


def _by_reason(title: str, about: str, reasons: Sequence[str]) -> Panel:
    known = [reason for reason in COUNTED_REASONS if reason in reasons]
    chosen = f'reason=~"{"|".join(known)}", {_CHOSEN}'
    return graph(
        title,
        f"{about} A second.",
        Query(f"sum by (reason) (rate(hw_dispatch_decisions_total{{{chosen}}}[$__rate_interval]))", "{{reason}}"),
        unit="cps",
        width=8,
        stacked=True,
    )
