"""Recipes: how the small networks that come with the package are trained."""
