"""Side-by-side benchmarks. They print ratios and medians; none is a test."""
