"""The shim: gives one job or server its /opt/ml, limits, logs and exit status. Standard library only; knows no queue and no AWS call."""
