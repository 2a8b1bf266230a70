"""Thin nipype interfaces, one per step: files in, a call into the science, files out."""
