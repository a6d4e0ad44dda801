"""Many runs and what they tell: comparisons, grids, transfers, explanations."""
