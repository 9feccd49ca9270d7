"""The whole stack on one machine: embedded servers and every process of the fleet."""
