"""/sim/: look at the simulator and tell it what to do. No key is asked for; serve it on loopback only."""
