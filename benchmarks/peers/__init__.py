"""The same small job on this engine and on its peers, side by side; see docs/peers.md."""
