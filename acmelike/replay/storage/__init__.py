"""Storage of replay: rows that items share, large arrays, and snapshots of both."""
