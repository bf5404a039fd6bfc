"""What the imported model itself gives: every variant is measured against it."""
