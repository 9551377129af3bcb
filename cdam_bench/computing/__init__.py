"""Computing: what estimators and metrics both do on a device: blurring, and work in parts that fit into memory."""
