"""Mining strategies that a recipe can choose between: each turns the same inputs into labels of the same form."""
