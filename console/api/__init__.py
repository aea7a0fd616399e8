"""The HTTP API: subscribers, alerts to pull, replays, why."""
