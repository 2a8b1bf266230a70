"""Segmentation of perivascular spaces: grid, intensities, networks, models, prediction."""
