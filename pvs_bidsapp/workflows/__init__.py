"""Factories that connect interfaces; and the long-running jobs of the commands."""
