"""The page for the people at the line: its files and texts, and what it shows beyond the link's own messages.

Its routes belong to the HTTP controller (:mod:`edge_ad.controllers.http.page_routes`).
"""

from __future__ import annotations

from edge_ad.page.assets import Asset, Assets, read_assets
from edge_ad.page.previews import Preview, read_preview
from edge_ad.page.rates import Rate, observed_rate

__all__ = ["Asset", "Assets", "Preview", "Rate", "observed_rate", "read_assets", "read_preview"]
