"""The report page: one HTML file with everything a results folder has to show."""
