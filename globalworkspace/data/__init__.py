"""Rows with missing cells, where they come from, and their latents."""
