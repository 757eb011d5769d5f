"""One model shown: its plan, times and rewrites as a page, as text or as JSON."""
