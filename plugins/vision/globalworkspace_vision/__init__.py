"""Picture domains for globalworkspace: the kinds `timm` and `image-vae`."""
