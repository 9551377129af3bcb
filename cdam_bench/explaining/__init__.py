"""Explaining single pictures: targets by name, maps, figures, and CDAM against attention token by token."""
