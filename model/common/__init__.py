"""What every command of the project shares: strict configs, atomic files, logging, progress."""
