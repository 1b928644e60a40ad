"""What a trained workspace can do, in numbers."""
