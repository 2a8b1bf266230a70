"""Agreement between found and true perivascular spaces."""
