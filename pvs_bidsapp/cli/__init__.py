"""The command line: one module per command. Nothing heavy is imported before it is needed."""
