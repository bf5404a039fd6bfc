"""What the demo ends with: figures, text and pictures."""
