"""Networks with a config in the format of ZFTurbo's Music-Source-Separation-Training (MSST).

Most public networks since 2023 come as a file of weights and a YAML file, the config. It has the
sections ``audio``, ``model``, ``training`` and ``inference``, which say how to build the network,
what its outputs are, and how to cut a song. The catalogue has the same sections for the files that
it knows, so that a user's own checkpoint and a registered one are built in the same way.

The plug-ins are in the parent folder. Besides ``build``, each of them has:

* ``recognises(config)``: whether a :class:`demixing.separators.msst.config.Config` is of its
  system.
* ``network(config, state)``: builds the network without weights, and returns it with the part of
  the state dict that fills it.
* ``ANSWERS_SILENCE``, optional: whether the network's output for silence is something else.
* ``rewrite(network, dtype)``, optional: a faster copy with products of a type.

A network that does not accept chunks of all lengths has a method ``nearest_length(samples)``.

Source: github.com/ZFTurbo/Music-Source-Separation-Training at ccc011a.
"""
