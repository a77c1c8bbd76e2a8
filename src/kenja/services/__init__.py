"""One folder per AWS service; none imports another, all stand on the kernel."""
