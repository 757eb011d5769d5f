"""Other runtimes' interfaces on arenaut."""
