"""Who may do what: pure decisions, no I/O."""
