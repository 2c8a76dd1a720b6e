"""Networks that turn pixels into features."""
