"""Sends a repository to AIcrowd as a submission: a tag that is pushed to its GitLab.

``submit.py`` is the command. Nothing is changed before all that can be asked has been asked, and
the token that aicrowd-cli has stored reaches git by its environment alone.
"""
