"""The paper's figures from a results folder, as vector PDF of a column's or a page's width, with their captions for LaTeX."""
