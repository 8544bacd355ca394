"""Documents in, filtered shards and a report out."""
