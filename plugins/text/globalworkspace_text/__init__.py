"""Text domains for globalworkspace: the kinds `bert` and `text-autoencoder`, which writes."""
