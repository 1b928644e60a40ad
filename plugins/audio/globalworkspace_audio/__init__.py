"""Sound domains for globalworkspace: the kinds `spectrogram-vae` and `whisper`."""
