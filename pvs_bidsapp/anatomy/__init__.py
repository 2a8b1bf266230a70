"""Anatomy of a scan: checks, bias field, brain mask, tissues, regions, coregistration, the template."""
