"""How a test or a benchmark starts the system's Chromium."""

from __future__ import annotations

# The first of these draw the browser's own list of suggestions: pages of its own beside each page under test, and more
# work than ours. The others are those of Playwright that matter here; a list of ours replaces its whole one.
UNWANTED = ("WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "AimEnabled", "AvoidUnnecessaryBeforeUnloadCheckSync",
            "DestroyProfileOnBrowserClose", "HttpsFirstBalancedModeAutoEnable", "HttpsUpgrades", "LensOverlay",
            "MediaRouter", "NetworkTimeServiceQuerying", "OptimizationHints", "PaintHolding", "PreconnectToSearch",
            "ThirdPartyStoragePartitioning")
FLAGS = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-features=" + ",".join(UNWANTED))
