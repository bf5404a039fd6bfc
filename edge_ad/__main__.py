"""``python -m edge_ad``: the command ``edge-ad``."""

from edge_ad.cli import main

if __name__ == "__main__":
    main()
