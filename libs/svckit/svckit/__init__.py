"""What every service gets by default. Knows no domain noun; nothing enters before a second service needs it."""
