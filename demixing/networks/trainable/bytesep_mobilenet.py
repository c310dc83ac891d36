"""ByteSep's small network of separable convolutions on four bands, for several stems at once.

Source: see :mod:`demixing.networks.bytesep_mobilenet`.
"""

import functools

from demixing.networks import bytesep_trainable

build = bytesep_trainable.mobilenet

warm_start = functools.partial(bytesep_trainable.warm_start, "subband")
"""See :func:`demixing.networks.bytesep_trainable.warm_start`; its bands are those of "subband"."""
