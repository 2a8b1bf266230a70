"""Agreement between predicted and reference masks, and between repeated measurements."""
