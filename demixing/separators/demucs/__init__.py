"""Shared code of the Demucs v1 to v4 separators; the plug-ins are in the parent folder."""
