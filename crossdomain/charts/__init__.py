"""Drawing: shapes as SVG, for the pages of every domain."""
