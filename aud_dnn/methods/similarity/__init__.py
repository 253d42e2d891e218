"""How alike a layer and a brain are, by ten measures that are compared on equal terms."""
