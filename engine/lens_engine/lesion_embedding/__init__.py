"""What makes two looks at one lesion comparable: a LesaNet-style network and its patches (algorithms 5.8)."""
