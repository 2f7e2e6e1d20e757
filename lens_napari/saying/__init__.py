"""What a reader says beside his verdict: the field for his words, the reasons, the axes, the line that confirms."""
