"""The processes of one run, on one device or several: who they are, what they tell each other, what each does."""
