"""Pictures and pages: results as tables of text, as drawings in SVG, and as one HTML page that needs nothing else."""
