"""Mining: which findings may be lesions that nobody marked (algorithms 5). Arrays and findings in, candidates out."""
