"""From observations to a threshold, and what can be promised of it."""
