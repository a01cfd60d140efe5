"""An admin's way from nothing to a working connection: what is entered, checked, advised and renewed."""
