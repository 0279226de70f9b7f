"""What one page alone needs, in a folder under the page's own name: controls, measure, charts, claims."""
