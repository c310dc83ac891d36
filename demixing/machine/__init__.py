"""The machine: container, threads, devices, and the installation of the package."""
