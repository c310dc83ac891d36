"""Commands that check and make training material, train, fit and export, one module each.

Each module has ``add(commands)``, which adds its subparser, and ``run(options)``, which does the
work and returns the exit status. Only ``run`` imports what is slow, so that ``--help`` is fast.
``demixing.rendering.command`` is the same for rendering.
"""
