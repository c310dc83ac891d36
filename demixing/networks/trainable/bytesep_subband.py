"""ByteSep's U-Net of 143 layers on four bands in time, for several stems at once.

Source: see :mod:`demixing.networks.bytesep`.
"""

import functools

from demixing.networks import bytesep_trainable

build = functools.partial(bytesep_trainable.resunet, "subband")
"""See :func:`demixing.networks.bytesep_trainable.resunet`."""

warm_start = functools.partial(bytesep_trainable.warm_start, "subband")
"""See :func:`demixing.networks.bytesep_trainable.warm_start`."""
