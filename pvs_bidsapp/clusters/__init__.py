"""From a probability map to clusters, their shapes, tables and estimated ratings."""
