"""The synthetic product line: its parts, what goes wrong with them, and their pictures on disk."""
