"""What the program writes and reads back: a scan's results, ground truth, cohort tables, data set descriptions."""
