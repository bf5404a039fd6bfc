"""How far each variant is from what the machine's arithmetic and memory allow (Williams et al. 2009)."""
