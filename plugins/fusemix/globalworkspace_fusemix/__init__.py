"""FuseMix (Vouitsis et al. 2024): contrastive learning on mixed pairs of frozen latents."""
