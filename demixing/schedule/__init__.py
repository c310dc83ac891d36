"""Time: what members cost, who is asked, and what happens when one fails or is late."""
