"""Processes, signals, locks, limits of the machine, and files that are complete or absent."""
