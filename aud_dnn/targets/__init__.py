"""What is predicted: responses to sounds, from the published files or anybody's own."""
