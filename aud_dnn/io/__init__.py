"""Reading and writing: one module per kind of file, and what makes writing safe."""
