"""A table of every family of models: real trained ones, exported and scored by real code."""
