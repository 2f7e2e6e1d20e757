"""The docks: widgets that show frozen values and emit signals; they decide nothing."""
