"""What is said: ticket events, alerts, quarantine records, deliveries and subscribers. Standard library and pydantic only."""
