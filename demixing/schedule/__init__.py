"""Time: what members cost, which ones work, and what happens when one fails or is late."""
