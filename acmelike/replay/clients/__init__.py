"""Writers and iterators: the part of replay that runs in its callers."""
