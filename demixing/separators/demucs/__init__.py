"""What Demucs v3 and v4 share."""
