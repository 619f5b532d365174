"""Rules that several rooms must decide alike. Pure: the standard library alone."""
