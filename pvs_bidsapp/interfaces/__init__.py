"""Thin nipype interfaces, one a step: files in, a call into the science, files out."""
