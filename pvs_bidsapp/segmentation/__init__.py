"""From a scan to perivascular spaces: grid, intensity, networks, model bundles, prediction."""
