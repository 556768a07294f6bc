"""Parts made of several operators that blocks share: each is a small module of its own."""
