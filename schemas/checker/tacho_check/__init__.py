"""A second checker of Tachograph logs, written from the documents in schemas/ alone."""
