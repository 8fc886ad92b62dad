"""The guard over HTTP: who may ask, what they may ask, what they get back."""
