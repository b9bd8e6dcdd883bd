"""S-JEPA, step by step: skeleton features learned by predicting latents of masked joints."""
