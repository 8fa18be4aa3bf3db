"""Jobs: a name, a version, inputs, outputs and a function of a partition key."""
