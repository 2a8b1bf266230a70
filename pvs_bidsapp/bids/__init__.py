"""BIDS: which scans, which names, which descriptions."""
