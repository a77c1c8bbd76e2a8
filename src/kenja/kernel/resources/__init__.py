"""Resources: what callers create, describe, list and delete. No SQL outside `store`, no HTTP anywhere."""
