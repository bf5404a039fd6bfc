"""What is settled before the first variant is made: graph, geometry and images."""
