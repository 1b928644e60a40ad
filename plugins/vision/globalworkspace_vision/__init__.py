"""Picture domains for globalworkspace: the kinds `timm`, `image-vae` and `frames`."""
