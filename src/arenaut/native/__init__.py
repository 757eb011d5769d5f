"""What Python reads of the native extension: kernel rows, the machine as a Target."""
