"""Pages for people: what came of an export, and of a comparison."""
