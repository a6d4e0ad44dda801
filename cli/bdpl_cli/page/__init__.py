"""Pages about runs: HTML files that need no network, one module per part of the page."""
