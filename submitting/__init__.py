"""Submits a repository to AIcrowd by pushing a tag to its GitLab.

``submit.py`` is the command. All checks come before the first change. The token that aicrowd-cli
has stored reaches git only in its environment.
"""
