"""What tests share: tiny real models and bundles."""
