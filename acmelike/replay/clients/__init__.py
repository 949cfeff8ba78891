"""WriterSessions and iterators: the callers' ends of replay."""
