"""From routes to losses to a trained workspace."""
