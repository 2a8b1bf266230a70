"""What each command of the program does, in plain Python: no argument parser, no workflow engine."""
