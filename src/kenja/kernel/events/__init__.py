"""Events: written with the change that they tell of, delivered at least once afterwards."""
