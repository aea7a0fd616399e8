"""The dashboard *Service*: does it keep up, is it whole, what did it refuse?"""

from collections.abc import Sequence

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.panels import Panel, Query, dashboard, graph, number, quantiles, with_rows

_ALL = '{job="hotline-watch"}'


def service() -> Dashboard:
    """Return the dashboard for operators."""
    page = dashboard(
        "service",
        "Service",
        "Flow by stage, lag and time by partition, latency, quarantine, memory and recovery of all processes, drills.",
        refresh="30s",
        since="now-3h",
    )
    return with_rows(
        page,
        {
            "Now": _now(),
            "Flow": _flow(),
            "Lag and time, by partition": _partitions(),
            "Refused": _refused(),
            "What judging rests on": _ground(),
            "Processes": _processes(),
            "HTTP API": _api(),
            "Drills": _drills(),
        },
    )


def _now() -> Sequence[Panel]:
    return (
        number("Processes up", "Processes that Prometheus reaches.", Query(f"sum(up{_ALL})")),
        number(
            "Processes with problems",
            "Processes whose /healthz finds something wrong, and those that are not reached.",
            Query(f"sum((hw_health_problems > bool 0)) + sum(up{_ALL} == bool 0)"),
            bad_from=1,
        ),
        number("Waiting records", "Records of all topics not acknowledged yet.", Query("sum(hw_lag_records)")),
        number(
            "Slowest partition",
            "How far the core time of the slowest partition is behind the clock. With recorded core time this says nothing.",
            Query("time() - min(max by (partition) (hw_watermark_timestamp_seconds))"),
            unit="s",
            bad_from=120,
        ),
        number(
            "Warning within, p99",
            "From Kafka's taking an event to its warning's being durable: 99 of 100 were faster.",
            Query("histogram_quantile(0.99, sum by (le) (rate(hw_event_to_warning_seconds_bucket[$__range])))"),
            unit="s",
            bad_from=5,
        ),
        number(
            "Quarantined",
            "Inputs refused in the time that is shown.",
            Query("sum(increase(hw_rejections_total[$__range]))"),
            bad_from=1,
        ),
    )


def _flow() -> Sequence[Panel]:
    return (
        graph(
            "Records by stage",
            "Records done a second: intake takes ticket events, tickets judges, citizens compares, dispatch decides.",
            Query("sum by (stage) (rate(hw_records_total[$__rate_interval]))", "{{stage}}"),
            unit="cps",
        ),
        graph(
            "Events by type",
            "Ticket events accepted a second.",
            Query("sum by (type) (rate(hw_events_total[$__rate_interval])) > 0", "{{type}}"),
            unit="cps",
            stacked=True,
        ),
        graph(
            "From event to warning",
            "From Kafka's taking an event to its warning's being durable.",
            *quantiles("hw_event_to_warning_seconds"),
            unit="s",
        ),
        graph(
            "Warnings and webhooks",
            "Versions of warnings issued, and calls that subscribers accepted, a second.",
            Query("sum(rate(hw_warnings_total[$__rate_interval]))", "warnings"),
            Query('sum(rate(hw_dispatch_attempts_total{outcome="accepted"}[$__rate_interval]))', "accepted calls"),
            unit="cps",
        ),
    )


def _partitions() -> Sequence[Panel]:
    return (
        graph(
            "Lag",
            "Records not acknowledged yet, by topic and partition: one line that rises alone is one partition that is stuck.",
            Query("sum by (topic, partition) (hw_partition_lag_records)", "{{topic}} {{partition}}"),
        ),
        graph(
            "Watermark",
            "How far core time is behind the clock, by partition; ticks bring a partition without events along every 30 s.",
            Query("time() - max by (partition) (hw_watermark_timestamp_seconds)", "{{partition}}"),
            unit="s",
        ),
        graph(
            "Partitions assigned, by topic",
            "Each topic's partitions that some worker has; fewer than declared while a rebalance runs.",
            Query("sum by (topic) (hw_partitions)", "{{topic}}"),
        ),
        graph(
            "Ticks",
            "Ticks handled a second.",
            Query("sum(rate(hw_ticks_total[$__rate_interval]))", "ticks"),
            unit="cps",
        ),
    )


def _refused() -> Sequence[Panel]:
    return (
        graph(
            "Quarantine by reason",
            "Inputs refused a second; `hotline-watch quarantine list` names them.",
            Query("sum by (reason) (rate(hw_rejections_total[$__rate_interval])) > 0", "{{reason}}"),
            unit="cps",
            stacked=True,
        ),
        graph(
            "Alarms",
            "Things that must not happen: an event id with two bodies, a batch that inflates without end, "
            "a rule that broke, a table with two writers, rules that were refused, internal records that could not be read.",
            Query(
                'sum(increase(hw_security_alarms_total{kind="conflicting_body"}[$__rate_interval]))',
                "event id used again",
            ),
            Query('sum(increase(hw_security_alarms_total{kind="inflated_batch"}[$__rate_interval]))', "inflated batch"),
            Query("sum(increase(hw_poison_total[$__rate_interval]))", "a rule broke"),
            Query("sum(increase(hw_table_alarms_total[$__rate_interval]))", "foreign writer"),
            Query('sum(increase(hw_rules_reloads_total{outcome="refused"}[$__rate_interval]))', "rules refused"),
            Query("sum(increase(hw_dispatch_unreadable_records_total[$__rate_interval]))", "unreadable to dispatch"),
            Query("sum(delta(hw_api_ledger_unreadable_records[$__rate_interval]))", "unreadable to the API"),
        ),
        graph(
            "Fields that nobody reads",
            "Fields of accepted events that this version does not know, a second: a new version of the sender?",
            Query("sum(rate(hw_unknown_fields_total[$__rate_interval]))", "fields"),
            unit="cps",
        ),
    )


def _ground() -> Sequence[Panel]:
    return (
        number(
            "Work days known for",
            "Until the end of the last announced year; beyond it nothing that counts work days is red.",
            Query("min(hw_calendar_until_timestamp_seconds) - time()"),
            unit="s",
        ),
        number(
            "Reference data behind by",
            "Records of reference tables that the slowest worker has not read yet.",
            Query("max(hw_reference_lag_records)"),
            bad_from=10_000,
        ),
        graph(
            "Reference rows, by table",
            "Rows of other departments' tables that each worker joins to events.",
            Query("max by (table) (hw_reference_rows)", "{{table}}"),
            width=8,
        ),
        graph(
            "Reference records read",
            "Records of reference tables that were taken, and those that are no rows of ours.",
            Query("max by (outcome) (delta(hw_reference_changes[$__rate_interval]))", "{{outcome}}"),
            width=8,
        ),
    )


def _processes() -> Sequence[Panel]:
    return (
        graph(
            "Memory", "Resident memory.", Query(f"process_resident_memory_bytes{_ALL}", "{{instance}}"), unit="bytes"
        ),
        graph(
            "Processor",
            "Cores used.",
            Query(f"rate(process_cpu_seconds_total{_ALL}[$__rate_interval])", "{{instance}}"),
        ),
        graph(
            "Recovery",
            "How long a table's last recovery took, from the rebalance that brought its partitions.",
            Query("hw_recovery_seconds", "{{instance}} {{table}}"),
            unit="s",
        ),
        graph(
            "Recovered partitions, by table",
            "Partitions that can be used now; below the declared number while recovery runs.",
            Query("sum by (table) (hw_recovered_partitions)", "{{table}}"),
        ),
        graph("State", "Values in the tables.", Query("sum by (table) (hw_states)", "{{table}}")),
        graph(
            "Expired",
            "Values that were let go of by age, a day: none where nothing is said of how long things are kept.",
            Query("sum by (table) (increase(hw_expired_total[1d]))", "{{table}}"),
            Query("sum(increase(hw_dispatch_expired_cases_total[1d]))", "dispatch"),
        ),
        graph(
            "Largest value, by table",
            "The largest value that a worker wrote since its start; at 1 MB `HotlineWatchLargeKey` names it by its hash.",
            Query("max by (table) (hw_largest_value_bytes)", "{{table}}"),
            unit="bytes",
        ),
        graph(
            "Records of busy keys",
            "Records a second of tickets or citizens that had half of a batch to themselves.",
            Query("sum by (table) (rate(hw_busy_key_records_total[$__rate_interval]))", "{{table}}"),
            unit="cps",
        ),
        graph(
            "Open files",
            "Files, databases and connections that are open.",
            Query(f"process_open_fds{_ALL}", "{{instance}}"),
        ),
    )


def _api() -> Sequence[Panel]:
    return (
        graph(
            "Requests by answer",
            "Requests a second.",
            Query("sum by (status) (rate(hw_api_requests_total[$__rate_interval]))", "{{status}}"),
            unit="reqps",
            width=8,
        ),
        graph(
            "Time to answer",
            "How long requests took.",
            *quantiles("hw_api_request_seconds", quantile=(0.5, 0.99)),
            unit="s",
            width=8,
        ),
        graph(
            "Ledger behind by",
            "Records of deliveries that those who pull cannot see yet.",
            Query("hw_api_ledger_lag_records", "{{instance}}"),
            width=8,
        ),
        graph(
            "Posted events",
            "Ticket events that were posted, and that Kafka has, a second.",
            Query("sum(rate(hw_api_events_total[$__rate_interval]))", "events"),
            unit="cps",
            width=8,
        ),
        graph(
            "Posted events refused, by reason",
            "Events at fault a second; the batch that one is in is refused as a whole, and its sender told.",
            Query("sum by (reason) (rate(hw_api_refused_events_total[$__rate_interval])) > 0", "{{reason}}"),
            unit="cps",
            width=8,
            stacked=True,
        ),
        graph(
            "Turned away",
            "Requests a second without a known token, and those not listened to after too many of them.",
            Query("sum(rate(hw_api_auth_failures_total[$__rate_interval]))", "no known token"),
            Query("sum(rate(hw_api_limited_total[$__rate_interval]))", "not listened to"),
            unit="reqps",
            width=8,
        ),
    )


def _drills() -> Sequence[Panel]:
    return (
        number(
            "Last drill that passed",
            "How long ago a marked ticket last went the whole way.",
            Query("time() - max(hw_drill_last_passed_timestamp_seconds > 0)"),
            unit="s",
        ),
        number(
            "The whole way",
            "How long the last drill that passed took, from intake to the subscriber's answer or dispatch's decision.",
            Query('max(hw_drill_seconds{stage="total"})'),
            unit="s",
            bad_from=30,
        ),
        graph(
            "Drills by stage",
            "How long each stage of the last drill that came through it took.",
            Query("max by (stage) (hw_drill_seconds)", "{{stage}}"),
            unit="s",
            width=8,
        ),
        graph(
            "Drills by outcome",
            "Drills in the time that one point stands for.",
            Query("sum by (outcome) (increase(hw_drills_total[$__rate_interval]))", "{{outcome}}"),
            width=8,
        ),
    )
