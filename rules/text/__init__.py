"""Text screening: what a citizen's words say of officials' conduct. Pure and stateless; called once, at intake."""
