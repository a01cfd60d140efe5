"""How pulls go on: their paths, who holds an item, where it stands, what waits, and what interrupts it."""
