"""Training sets: a label frame and the features as of each label."""
