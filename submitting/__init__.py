"""Submits a repository to AIcrowd by pushing a tag to its GitLab.

``submit.py`` is the command. All checks run before the first change. The token stored by
aicrowd-cli reaches git only through the environment.
"""
