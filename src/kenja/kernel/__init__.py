"""What every service stands on: declarations, state, jobs, objects, telemetry, events, identity. No service is known here."""
