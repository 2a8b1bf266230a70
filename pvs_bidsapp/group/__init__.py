"""Statistics of a cohort: tables, comparison, regression, harmonization and maps of all scans."""
