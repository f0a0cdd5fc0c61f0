"""The objectives, a module each."""
