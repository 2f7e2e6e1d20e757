"""Mining: which findings may be lesions that nobody marked (spec section 5). Arrays and findings in, candidates out."""
