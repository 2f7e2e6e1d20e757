"""What a run's detector finds in the cases that are held out, kept case by case, measured, and handed on."""
