"""PVS BIDS-App: find and measure perivascular spaces on T1w (and T2w) brain MRI."""

__version__ = '0.1.0'
