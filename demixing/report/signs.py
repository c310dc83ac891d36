"""Characters that look like others in code, so they are named."""

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"
