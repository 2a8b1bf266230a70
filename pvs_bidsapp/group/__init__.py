"""The cohort: tables of all scans, and what they say together."""
