"""The nipype workflow of a scan, and the engine that runs it."""
