"""Loss families: one file each."""
