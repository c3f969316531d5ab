"""HTTP in and out: requests parsed, answers and errors shaped."""
