"""How it flows: settings, the embedded broker, topics, tables, agents, transport, dispatch. The only user of Faust."""
