"""BIDS: finding scans, naming files, describing datasets."""
