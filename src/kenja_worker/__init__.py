"""What runs inside jobs and replicas; it never imports the platform and holds no SQL."""
