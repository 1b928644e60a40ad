"""First weights in closed form."""
