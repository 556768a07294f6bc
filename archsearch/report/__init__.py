"""What people look at: tables for the terminal, one self-contained page, pictures."""
