"""What a device builder runs on a workstation: keys, signatures and packages.

Import from its modules: each needs libraries of its own, and the command ``edge-ad --help`` has to work without them.
"""
