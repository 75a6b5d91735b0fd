"""What operators read of the installation."""
