"""What passes read from a graph: arithmetic as polynomials, masks, elements as formulas."""
