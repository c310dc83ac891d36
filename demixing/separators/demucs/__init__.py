"""What the separators of Demucs v1 to v4 share; the plug-ins themselves are files of the folder."""
