"""What is seen of a running gateway: counts, spans, audit lines, the latest failures. A leaf that decides nothing."""
