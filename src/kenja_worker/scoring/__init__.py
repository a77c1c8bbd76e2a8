"""Metrics of predictions: every one has its place here. Labels and answers in, a number out; no files, no AWS names."""
