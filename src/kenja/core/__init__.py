"""Words that every layer shares: errors, ids, clocks, configuration, logging. No AWS service is known here."""
