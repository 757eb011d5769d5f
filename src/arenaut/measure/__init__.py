"""Measuring arenaut and its peers: memory, speed and output differences, each engine in a process of its own."""
