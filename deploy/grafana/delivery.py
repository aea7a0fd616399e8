"""The dashboard *Delivery*: do warnings reach those who are to have them, and what keeps them?"""

from collections.abc import Sequence

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.panels import Panel, Query, choice, dashboard, graph, number, quantiles, with_rows

_CHOSEN = 'subscriber=~"$subscriber"'
_OF = f"{{{_CHOSEN}}}"


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


def _now() -> Sequence[Panel]:
    accepted = f'hw_dispatch_attempts_total{{outcome="accepted", {_CHOSEN}}}'
    return (
        number("Pending", "Deliveries not accepted yet.", Query(f"sum(hw_dispatch_pending{_OF})")),
        number(
            "Held: no registry",
            "1: the unit registry is missing or broken, and nothing is sent until it is mended.",
            Query("max(hw_dispatch_holding)"),
            bad_from=1,
        ),
        number(
            "Endpoints spared",
            "Endpoints that failed so often that they are called now and then only.",
            Query(f"sum(max by (subscriber) (hw_dispatch_breaker_open{_OF}))"),
            bad_from=1,
        ),
        number(
            "Endpoints gone",
            "Endpoints that said 410; their deliveries wait until the entry is revised.",
            Query(f"sum(max by (subscriber) (hw_dispatch_endpoint_disabled{_OF}))"),
            bad_from=1,
        ),
        number(
            "Refused by the guard",
            "Deliveries that would have gone to the accused unit itself, in the time that is shown.",
            Query(f"sum(increase(hw_dispatch_guard_refusals_total{_OF}[$__range]))"),
            bad_from=1,
        ),
        number(
            "Attempts accepted",
            "Share of the attempts in the time that is shown.",
            Query(
                f"sum(increase({accepted}[$__range]))"
                f" / clamp_min(sum(increase(hw_dispatch_attempts_total{_OF}[$__range])), 1)"
            ),
            unit="percentunit",
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
        ),
        graph(
            "Held back",
            "Warnings that suppression holds: a silence, quiet hours, another warning that says more.",
            Query(f"sum by (subscriber) (hw_dispatch_suppressed{_OF})", "{{subscriber}}"),
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
    refused = f"hw_dispatch_guard_refusals_total{_OF}"
    return (
        graph(
            "Decisions by reason",
            "What was decided for each warning and subscriber, a second.",
            Query(f"sum by (reason) (rate(hw_dispatch_decisions_total{_OF}[$__rate_interval])) > 0", "{{reason}}"),
            unit="cps",
            stacked=True,
        ),
        graph(
            "Guard refusals",
            "Deliveries that would have gone to the accused unit itself: look at the registry and the routing.",
            Query(f"sum by (subscriber) (increase({refused}[$__rate_interval]))", "{{subscriber}}"),
        ),
    )
