"""The subject's anatomy: checks, bias, brain, tissues, regions, coregistration, the template."""
