"""Hosting: replicas of models, kept alive by the reconciler, and the gateway's ways to them. No AWS names here."""
