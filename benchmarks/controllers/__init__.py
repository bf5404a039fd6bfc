"""``make bench-controllers``: from a controller's trigger to its result, by protocol, beside the bare link."""
