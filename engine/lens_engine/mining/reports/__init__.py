"""What mining yields and how good it is: numbers and text tables, from labels and, where it is known, the truth."""
