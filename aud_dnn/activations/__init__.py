"""What predicts: the activations of models, in every format that they come in."""
