"""How fast the slow parts are."""
