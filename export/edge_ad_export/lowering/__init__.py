"""From an imported model to a graph that follows the bundle's contract, and from there to each engine's file."""
