"""Random lives of a database under faults, against a model. Every life is a seed."""
