"""Carries erasures out, in small steps, after the projector has come to them."""
