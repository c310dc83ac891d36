"""Time: the costs of members, which of them run, and the fallback for failures and delays."""
