"""Makes a threshold from the scores of normal images, and says what can be promised of it."""
