"""What IMC is measured against: each peer as a process of its own."""
