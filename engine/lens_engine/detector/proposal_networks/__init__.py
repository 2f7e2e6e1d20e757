"""Networks that propose 2D boxes on a feature map, one module for each kind."""
