"""How the second layer's weights are made: examples written for it, and the command that fits them."""
