"""What export measures with: normal images and clips, their geometry, and synthetic defects."""
