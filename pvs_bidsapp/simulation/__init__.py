"""Simulated heads with known perivascular spaces: a digital reference object."""
