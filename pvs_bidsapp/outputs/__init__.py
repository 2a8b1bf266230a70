"""What the program writes and reads back: results of a scan, ground truth, cohort tables, pages."""
