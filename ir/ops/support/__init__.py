"""What the record families share; no records live here."""
