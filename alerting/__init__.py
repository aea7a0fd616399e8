"""What is sent: routing, dedup, signing, retry policy, webhook, outbox. Knows neither rules nor Faust."""
