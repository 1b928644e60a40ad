"""Probes of trained workspaces: integration in measured responses, few shots with language."""
