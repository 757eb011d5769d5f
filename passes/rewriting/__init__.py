"""What passes rewrite with: patterns, bodies of fused nodes, sizes as values."""
