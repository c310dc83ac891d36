"""ByteSep's U-Net of 143 layers on the whole spectrum (ISMIR 2021), for several stems at once.

Source: see :mod:`demixing.networks.bytesep`.
"""

import functools

from demixing.networks import bytesep_trainable

build = functools.partial(bytesep_trainable.resunet, "ismir2021")
"""See :func:`demixing.networks.bytesep_trainable.resunet`."""

warm_start = functools.partial(bytesep_trainable.warm_start, "ismir2021")
"""See :func:`demixing.networks.bytesep_trainable.warm_start`."""
