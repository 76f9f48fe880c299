"""What the notebooks of Near the Pivot stand on."""
