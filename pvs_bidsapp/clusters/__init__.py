"""Clusters of a probability map, their shapes, tables, and estimated visual grades."""
