"""How results show themselves in a notebook: HTML that needs no network and no script.

Names are escaped, and colours follow the notebook's theme, because only ``currentColor`` is used.
"""
