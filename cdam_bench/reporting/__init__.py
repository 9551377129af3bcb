"""Reporting: from the store to tables, figures and a page that shows both."""
