"""edge-ad beside the peer's inferencer and beside the bare engines: the same trained models, the same frames."""
