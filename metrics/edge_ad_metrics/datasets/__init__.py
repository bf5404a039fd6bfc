"""Labelled data sets: their layouts on disk, their masks and their frame labels."""
