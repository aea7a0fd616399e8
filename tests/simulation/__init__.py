"""The detection side as a simulation: the service's own steps, a broker and disks that are lists, and a crash between any two effects."""
